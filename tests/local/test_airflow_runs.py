"""Airflow itself, started as `make run` starts it: days flow by themselves from orders to the messages sent."""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from sqlalchemy import Engine, text

from retention.core import days
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.demo import generator as demo
from retention.local import postgres, stack
from retention.orders import sync
from shop import INCLUDE, small_include

LAST = date(2026, 6, 30)
DAYS = [LAST - timedelta(days=1), LAST]
CAMPAIGNS = ("campaign_lapsed_30_days", "campaign_winback")

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(420)]


@pytest.fixture
def running(server: str, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """A started Airflow on this test's own databases, with one draft; all of it is stopped afterwards."""
    for key in list(os.environ):
        if key.startswith(("AIRFLOW", "RETENTION_")):
            monkeypatch.delenv(key)
    monkeypatch.setenv("RETENTION_AIRFLOW_PORT", str(postgres.free_port()))
    name = f"airflow_live_{os.getpid()}"
    monkeypatch.setenv("RETENTION_AIRFLOW_DATABASE_URL", postgres.ensure_database(server, name))
    for folder in ("dags", "plugins"):
        shutil.copytree(INCLUDE.parent / folder, tmp_path / folder)
    include = small_include(tmp_path / "include", "quarterly_winback.yaml")
    settings = settings.evolve(clock="days", include=include)
    stack.up(settings)
    yield settings
    stack.down(settings)
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")


def runs(settings: Settings, dag: str) -> list[dict[str, Any]]:
    found = stack.call(settings, "GET", f"/api/v2/dags/{dag}/dagRuns?order_by=run_after")["dag_runs"]
    return [run for run in found if run["partition_key"]]


def wait_for(settings: Settings, dag: str, day: date, patience: float = 240) -> None:
    deadline = time.monotonic() + patience
    while not any(run["partition_key"] == str(day) and run["state"] == "success" for run in runs(settings, dag)):
        assert all(run["state"] != "failed" for run in runs(settings, dag)), f"{dag} failed"
        assert time.monotonic() < deadline, f"{dag} has not done {day}"
        time.sleep(1)


def clear_and_wait(settings: Settings, dag: str, task: str, patience: float = 120) -> None:
    """Clear a task of the last run, as the button in the UI does, and wait until it has run again."""
    dags = f"/api/v2/dags/{dag}"
    run = stack.call(settings, "GET", f"{dags}/dagRuns?order_by=-run_after&limit=1")["dag_runs"][0]["dag_run_id"]
    wish = {"dry_run": False, "dag_run_id": run, "task_ids": [task], "only_failed": False, "reset_dag_runs": True}
    assert stack.call(settings, "POST", f"{dags}/clearTaskInstances", wish)["total_entries"] == 1
    deadline = time.monotonic() + patience
    again = {}
    while (again.get("state"), again.get("try_number")) != ("success", 2):
        assert time.monotonic() < deadline, again
        time.sleep(0.5)
        again = stack.call(settings, "GET", f"{dags}/dagRuns/{run}/taskInstances/{task}")


def ledger(engine: Engine) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                "select m.message_key, m.state, m.reason, m.attempts, m.attempted_at, o.stored_at"
                " from delivery.messages as m left join delivery.outbox as o using (customer_id, message_key)"
                " order by m.message_key"
            )
        )
        return [dict(row) for row in rows.mappings()]


def assert_only_who_logs_in_gets_in(running: dict[str, Any]) -> None:
    """Nothing answers a request without a login; the printed name and password are one."""
    paths = ["/api/v2/dags", "/api/v2/connections", "/ui/config", "/retention/", "/retention/quality", "/auth/token"]
    answers = {path: httpx.get(running["url"] + path, trust_env=False).status_code for path in paths}
    assert answers == dict.fromkeys(paths, 401) | {"/auth/token": 403}
    body = {"username": running["user"], "password": "admin"}
    assert httpx.post(running["url"] + "/auth/token", json=body, trust_env=False).status_code == 401
    token = httpx.post(
        running["url"] + "/auth/token", json=body | {"password": running["password"]}, trust_env=False
    ).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    for path in ("/api/v2/dags", "/retention/"):
        assert httpx.get(running["url"] + path, headers=headers, trust_env=False).status_code == 200


def test_a_backfill_runs_every_stage_of_each_day_once_and_nothing_runs_by_itself(
    running: Settings, engine: Engine
) -> None:
    folder = running.local / "demo_shop"
    demo.generate(
        folder, customers=150, days=60, seed=3, until=DAYS[0] - timedelta(days=1), zone=running.shop_time_zone
    )
    sync.load(Shop(running, engine), "demo_shop", str(folder))
    demo.generate(folder, customers=150, days=62, seed=3, until=LAST, zone=running.shop_time_zone)
    assert runs(running, "sync_orders") == []

    stack.backfill(running, DAYS[0], LAST)
    for campaign in CAMPAIGNS:
        wait_for(running, campaign, LAST)
    for dag in ("sync_orders", "refresh_selections", "enrol_campaigns", *CAMPAIGNS):
        assert Counter(run["partition_key"] for run in runs(running, dag)) == {str(day): 1 for day in DAYS}, dag
        assert [run["partition_key"] for run in runs(running, dag)] == [str(day) for day in DAYS], dag

    stack.trigger(running, "deliver_messages")
    with engine.connect() as connection:
        deadline = time.monotonic() + 60
        while days.Part("delivery", "").done(connection, LAST) is None:
            assert time.monotonic() < deadline, "the messages were not sent"
            time.sleep(0.5)

    sent = ledger(engine)
    assert any(row["state"] == "accepted" for row in sent)
    clear_and_wait(running, "campaign_lapsed_30_days", "day_0_email")
    clear_and_wait(running, "deliver_messages", "deliver")
    assert ledger(engine) == sent, "a cleared task has sent or planned something again"

    assert stack.status(running)["healthy"]
    first = stack.up(running)
    again = stack.up(running)
    assert (again["pids"], again["user"], again["password"]) == (first["pids"], "admin", first["password"])
    assert_only_who_logs_in_gets_in(first)
    assert set(stack.down(running)["stopped"]) == set(stack.AIRFLOW)
    assert stack.status(running)["airflow"] == dict.fromkeys(stack.AIRFLOW)
