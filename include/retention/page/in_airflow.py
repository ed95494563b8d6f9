"""The page inside Airflow: login, links from runs and tasks. The only module of the page that imports Airflow.

Every Airflow process executes the plugin and so this module: nothing heavy is imported before the first request.
Mounted plugin applications are public, so the page asks Airflow for the user itself.
"""

from __future__ import annotations

import os
from datetime import date
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from airflow.configuration import conf
from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from retention.core.settings import Settings

OUR_DAGS = (
    "sync_orders",
    "refresh_selections",
    "enrol_campaigns",
    "approve_enrolments",
    "deliver_messages",
    "collect_events",
    "measure_results",
)
CAMPAIGN = "campaign_"
# Airflow shows a page below /plugin/<url_route>/<path> within its own frame, and keeps that path in the address bar.
FRAME = "/plugin/retention"


class Page:
    """The page as an ASGI application that is made when the first request comes."""

    def __init__(self) -> None:
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if self._app is None:
            from retention.page.app import create_app

            self._app = create_app(settings, _current_user(), day_of_run=day_of_run)
        await self._app(scope, receive, send)


def settings() -> Settings:
    """The settings of this process; the database is the connection `retention_db` unless the environment names it."""
    from retention.core.settings import from_environment

    found = from_environment()
    return found if found.database_url else found.evolve(database_url=_connection_url("retention_db"))


def day_of_run(dag_id: str, run_id: str) -> date | None:
    """The day of a DAG run: its partition key. None for runs without one, and for unknown runs."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        key = session.scalar(select(DagRun.partition_key).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
    try:
        return date.fromisoformat(str(key)[:10])
    except ValueError:
        return None


class DataQualityLink(BaseOperatorLink):  # type: ignore[misc]
    """From a task of sync_orders to the expectations and rejected rows of its day."""

    name = "Data quality"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """The address; empty, and so no button, for other DAGs."""
        return _run_link(ti_key) if ti_key.dag_id == "sync_orders" else ""


class DayLink(BaseOperatorLink):  # type: ignore[misc]
    """From a task of our other DAGs to what the page tells about its day."""

    name = "Retention page"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """The address; empty, and so no button, for DAGs that are not ours."""
        is_ours = ti_key.dag_id in OUR_DAGS[1:] or ti_key.dag_id.startswith(CAMPAIGN)
        return _run_link(ti_key) if is_ours else ""


def middlewares() -> list[dict[str, Any]]:
    """Where Airflow asks for no login, its server answers only to its own names.

    A page anywhere whose name is made to lead to this machine would otherwise be let in as an administrator.
    """
    if os.environ.get("RETENTION_AIRFLOW_LOGIN") != "no":
        return []
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    hosts = {"allowed_hosts": ["127.0.0.1", "localhost"], "www_redirect": False}
    return [{"middleware": TrustedHostMiddleware, "args": [], "kwargs": hosts, "name": "Own names only"}]


def views() -> list[dict[str, Any]]:
    """The entry in the side bar and the tab on each DAG run."""
    nav = {"name": "Retention", "href": f"{_base()}/retention/", "destination": "nav", "url_route": "retention"}
    run = {
        "name": "Retention",
        "href": f"{_base()}/retention/run?dag_id={{DAG_ID}}&run_id={{RUN_ID}}",
        "destination": "dag_run",
        "url_route": "retention-run",
    }
    return [nav, run]


def _run_link(ti_key: Any) -> str:
    run = urlencode({"dag_id": ti_key.dag_id, "run_id": ti_key.run_id})
    return f"{_base()}{FRAME}{_base()}/retention/run?{run}"


def _base() -> str:
    """The path below which Airflow is served, mostly empty."""
    return urlsplit(str(conf.get("api", "base_url", fallback=""))).path.rstrip("/")


def _connection_url(name: str) -> str | None:
    from airflow.exceptions import AirflowNotFoundException
    from airflow.models.connection import Connection

    try:
        return str(Connection.get_connection_from_secrets(name).get_uri())
    except AirflowNotFoundException:
        return None


def _current_user() -> Any:
    from fastapi import HTTPException
    from starlette.requests import Request as AnyRequest

    async def current_user(request: AnyRequest) -> Any:
        """The Airflow user of this request: reading needs the right to read DAGs, anything else to edit them."""
        from airflow.api_fastapi.app import get_auth_manager
        from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN
        from airflow.api_fastapi.auth.managers.models.resource_details import DagDetails
        from airflow.api_fastapi.core_api.security import resolve_user_from_token

        header = request.headers.get("authorization", "")
        is_bearer = header.lower().startswith("bearer ")
        user = await resolve_user_from_token(header[7:] if is_bearer else request.cookies.get(COOKIE_NAME_JWT_TOKEN))
        method: Any = "GET" if request.method in ("GET", "HEAD") else "PUT"
        if not get_auth_manager().is_authorized_dag(method=method, user=user, details=DagDetails(id=None)):
            raise HTTPException(403)
        return user

    # The annotation must be the class itself: FastAPI cannot resolve a name that is local to this function.
    current_user.__annotations__["request"] = AnyRequest
    return current_user
