"""The Retention page as a FastAPI application. It reads only, in one snapshot of the database per request.

Every route asks for a user first. The HTML brings its own style and script, allowed by a nonce: nothing else runs or
loads, whatever a file of the shop managed to put into the database.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import Depends, FastAPI, Request, Response
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError, ProgrammingError
from starlette.exceptions import HTTPException

from retention.core import clock, database, days
from retention.core.clock import Clock
from retention.core.errors import InputError, RetentionError, StateError
from retention.core.settings import Settings
from retention.orders.landing import HISTORY
from retention.page import morning, quality, words

log = logging.getLogger(__name__)

PREFIX = "/retention"  # where the page is mounted
DAYS = 7  # days shown unless asked otherwise
MOST_DAYS = 60
CONNECT_SECONDS = 5
LONGEST_ID = 250  # characters of Airflow's ids


def create_app(
    settings_factory: Callable[[], Settings],
    current_user: Callable[..., Any],
    *,
    day_of_run: Callable[[str, str], date | None] = lambda dag, run: None,
    clock: Clock = clock.now,
) -> FastAPI:
    """The application. `current_user` is a dependency that raises HTTPException 401 or 403.

    `day_of_run` gives the day of a DAG run (DAG id, run id), so that Airflow can link to the page from a run. `clock`
    is for people only: how fresh the newest day is, what is due.
    """
    app = FastAPI(
        title="Retention", dependencies=[Depends(current_user)], docs_url=None, redoc_url=None, openapi_url=None
    )
    _answer_errors(app)

    @app.get("/")
    def show_morning(request: Request, days: str = "", until: str = "") -> Response:
        settings = settings_factory()
        return _page(request, "morning", _morning(settings, clock(), days, until), settings)

    @app.get("/api/morning")
    def tell_morning(days: str = "", until: str = "") -> Response:
        return JSONResponse(jsonable_encoder(_morning(settings_factory(), clock(), days, until)), headers=_headers())

    @app.get("/quality")
    def show_quality(request: Request, day: str = "", source: str = "") -> Response:
        settings = settings_factory()
        key, name = _load_key(day), _name("source", source)
        with _snapshot(settings) as connection:
            data = quality.read(connection, key, name)
        return _page(request, "quality", data, settings)

    @app.get("/run")
    def lead_to_day(request: Request, dag_id: str, run_id: str) -> Response:
        """From a run in Airflow to what the page knows of its day."""
        for name, value in (("dag_id", dag_id), ("run_id", run_id)):
            if not value.isprintable() or len(value) > LONGEST_ID:
                raise InputError(f"{name}={value[:20]!r} is no id of Airflow's; come here from a run.")
        day = day_of_run(dag_id, run_id)
        view = "quality" if dag_id == "sync_orders" else ""
        query = "" if day is None else "?" + urlencode({"day" if view else "until": day.isoformat()})
        return RedirectResponse(f"{request.scope.get('root_path', '')}/{view}{query}", status_code=303)

    return app


def _morning(settings: Settings, now: datetime, number: str, until: str) -> dict[str, Any]:
    last = days.parse(until) if until else None
    if number and not (re.fullmatch("[0-9]{1,2}", number) and 1 <= int(number) <= MOST_DAYS):
        raise InputError(f"days={number[:20]!r} cannot be shown; write a number from 1 to {MOST_DAYS}.")
    with _snapshot(settings) as connection:
        return morning.read(connection, settings, now, int(number or DAYS), last)


def _load_key(text: str) -> str | None:
    """What names a load: a day, or a history. None if nothing is asked for."""
    return text if text in ("", HISTORY) else days.parse(text).isoformat()


def _name(parameter: str, text: str) -> str | None:
    if text and not re.fullmatch("[a-z][a-z0-9_]{0,62}", text):
        raise InputError(f"{parameter}={text[:20]!r} is no name; write small letters, digits and _, like demo_shop.")
    return text or None


@contextmanager
def _snapshot(settings: Settings) -> Iterator[Connection]:
    """A read-only transaction that sees the database at one instant, and gives up rather than hang."""
    engine = database.connect(settings).execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    event.listen(engine, "do_connect", _hurry)
    with engine.begin() as connection:
        database.run(connection, "page/limit")
        yield connection


def _hurry(dialect: Any, record: Any, arguments: Any, parameters: dict[str, Any]) -> None:
    parameters["connect_timeout"] = CONNECT_SECONDS


def _page(
    request: Request, name: str, data: dict[str, Any], settings: Settings | None = None, status: int = 200
) -> HTMLResponse:
    nonce = secrets.token_urlsafe(16)
    root = str(request.scope.get("root_path", ""))
    html = (
        _templates()
        .get_template(f"{name}.html")
        .render(
            data,
            nonce=nonce,
            view=name,
            root=root,
            airflow=root.removesuffix(PREFIX),
            zone=settings.shop_time_zone if settings else UTC,
        )
    )
    return HTMLResponse(html, status, headers=_headers(nonce))


def _headers(nonce: str = "") -> dict[str, str]:
    return {
        "Content-Security-Policy": f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'self'",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
    }


@lru_cache(maxsize=1)
def _templates() -> ImmutableSandboxedEnvironment:
    templates = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(
        number=words.number,
        share=words.share,
        day=words.day,
        date=words.date_of_year,
        moment=words.moment,
        size=words.size,
        ago=words.ago,
        word=words.word,
        expected=words.expected,
        path=lambda text: quote(str(text), safe=""),
    )
    return templates


def _answer_errors(app: FastAPI) -> None:
    """A person reads one clear sentence, a script gets it as JSON; neither gets a stack trace."""

    def refused(request: Request, problem: HTTPException) -> Response:
        told = {
            401: "Please log in to Airflow first.",
            403: "Your Airflow user may not see this page.",
            404: "There is no such page.",
        }
        return _problem(request, problem.status_code, told.get(problem.status_code, str(problem.detail)))

    def wrong(request: Request, problem: RetentionError) -> Response:
        status = 400 if isinstance(problem, InputError) else 503 if isinstance(problem, StateError) else 500
        return _problem(request, status, str(problem))

    def unasked(request: Request, problem: RequestValidationError) -> Response:
        missing = ", ".join(sorted({str(each["loc"][-1]) for each in problem.errors()}))
        return _problem(request, 400, f"The address is not complete: give it {missing}.")

    def database_fails(request: Request, problem: DBAPIError) -> Response:
        log.warning("The page cannot read the database: %s", type(problem.orig).__name__)
        if isinstance(problem, ProgrammingError):
            return _problem(
                request,
                503,
                "The shop's database has not been set up yet, or is older than this page. Run `retention db init`.",
            )
        return _problem(
            request,
            503,
            "The shop's database does not answer. On this machine `make run` or "
            "`retention up` starts it; otherwise check RETENTION_DATABASE_URL.",
        )

    def fails(request: Request, problem: Exception) -> Response:
        return _problem(request, 500, "The page could not be made; the log of Airflow's API server tells why.")

    handlers: list[tuple[type[Exception], Any]] = [
        (HTTPException, refused),
        (RequestValidationError, unasked),
        (RetentionError, wrong),
        (DBAPIError, database_fails),
        (Exception, fails),
    ]
    for kind, handler in handlers:
        app.add_exception_handler(kind, handler)


def _problem(request: Request, status: int, sentence: str) -> Response:
    if "/api/" in request.url.path:
        return JSONResponse({"detail": sentence}, status, headers=_headers())
    back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return _page(request, "problem", {"sentence": sentence, "status": status, "back": back}, status=status)
