"""The demo shop's days as Airflow's tasks do them, on a real database."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from retention import pipeline
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.demo import generator as demo
from retention.selections import refresh
from shop import ShopData

pytestmark = pytest.mark.airflow

LAST = date(2026, 6, 30)
EVE = LAST - timedelta(days=1)

Runs = Callable[..., Any]


@pytest.fixture
def run(dags: dict[str, Any], shop_of_tasks: Settings) -> Runs:
    """Run a DAG in this process with these parameters, which it remembers: give all of them. Its run."""
    return lambda dag, **params: dags[dag].test(logical_date=None, run_conf=params)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few days of a small demo shop."""
    folder = tmp_path_factory.mktemp("demo")
    demo.generate(
        folder, customers=150, days=10, seed=3, until=LAST, zone=Settings(include=folder, local=folder).shop_time_zone
    )
    return folder


@pytest.fixture
def shop_files(files: Path, settings: Settings) -> Path:
    """The folder where the source looks: the days before LAST."""
    folder = settings.local / "demo_shop"
    folder.mkdir()
    for each in files.iterdir():
        if each.name < LAST.isoformat():
            (folder / each.name).symlink_to(each)
    return folder


def states(run: Any) -> dict[str, str]:
    return {task.task_id: str(task.state) for task in run.get_task_instances()}


def returned(run: Any, task: str) -> Any:
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    with create_session() as session:
        found = XComModel.get_many(key="return_value", task_ids=[task], dag_ids=[run.dag_id], run_id=run.run_id)
        value = session.scalars(found).first().value
    return json.loads(value) if isinstance(value, str) else value


def number(engine: Engine, query: str) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text(query)).scalar_one())


def log_of(capture: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> str:
    return capture.text + "".join(capsys.readouterr())


def test_a_day_goes_through_orders_selections_and_a_campaign(
    run: Runs, shop_files: Path, settings: Settings, engine: Engine, files: Path
) -> None:
    pipeline.run_days(Shop(settings, engine), EVE, EVE)
    (shop_files / LAST.isoformat()).symlink_to(files / LAST.isoformat())
    day = LAST.isoformat()

    synced = run("sync_orders", day=day)
    assert set(states(synced).values()) == {"success"}
    published = returned(synced, "orders")["demo_shop"]
    assert published["orders_inserted"] > 0
    assert published["landed"] == published["accepted"] + published["rejected"]

    refreshed = run("refresh_selections", day=day)
    assert set(states(refreshed).values()) == {"success"}
    assert returned(refreshed, "selections")["customers"]["size"] > 0

    tested = run("campaign_lapsed_30_days", day=day, test=True)
    assert states(tested)["test_run"] == "success"
    assert {state for task, state in states(tested).items() if task != "test_run"} == {"skipped"}
    would = returned(tested, "test_run")
    assert number(engine, f"select count(*) from shop.days where stage = 'campaigns' and day = '{day}'") == 0

    enrolled = run("enrol_campaigns", day=day)
    assert set(states(enrolled).values()) == {"success"}
    told = returned(enrolled, "enrolments")
    assert told["lapsed_30_days"] == {key: would[key] for key in ("enrolled", "control")}
    assert set(told) == {"lapsed_30_days", "winback"}, "drafts enrol nobody"

    done = run("campaign_lapsed_30_days", day=day, test=False)
    assert states(done).pop("test_run") == "skipped"
    assert {state for task, state in states(done).items() if task != "test_run"} == {"success"}
    assert returned(done, "finish") == would


def test_a_campaign_that_cannot_enrol_stops_no_other_of_its_group_and_one_by_hand_waits_for_no_dag(
    run: Runs,
    shop: ShopData,
    settings: Settings,
    engine: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    include = tmp_path / "include"
    shutil.copytree(settings.include, include, ignore=shutil.ignore_patterns("retention*", "__pycache__"))
    for name, old, new in (
        ("winback", "group: reactivation", "group: reactivation\npriority: 1"),
        ("lapsed_30_days", "control:", "group: reactivation\ncontrol:"),
    ):
        file = include / "campaigns" / f"{name}.yaml"
        file.write_text(file.read_text().replace(old, new))
    template = include / "messages" / "winback" / "we_miss_you.en.j2"
    template.write_text(template.read_text() + "{{ firstname }}")
    monkeypatch.setenv("RETENTION_INCLUDE", str(include))
    day = EVE.isoformat()
    shop.customer("bob")
    shop.order("bob", EVE - timedelta(days=31))
    shop.publish(EVE)
    shop.launch("winback", "lapsed_30_days")

    early = run("campaign_lapsed_30_days", day=day, test=False)
    assert states(early)["catch_up"] == "failed", "at once: its selections have not done the day"
    assert [task.try_number for task in early.get_task_instances() if task.task_id == "catch_up"] == [1]
    assert f"run `retention select --day {day}` first" in log_of(caplog, capsys)

    refresh.select(Shop(settings, engine), EVE)
    assert states(run("campaign_lapsed_30_days", day=day, test=False))["finish"] == "success"
    assert number(engine, "select count(*) from campaigns.enrolments where campaign = 'lapsed_30_days'") == 1

    failed = states(run("enrol_campaigns", day=day))
    assert failed["enrol"] == "failed"
    assert failed["all_enrolled"] == "upstream_failed"
    assert failed["enrolments"] == "success"
    assert f"winback {day}: " in log_of(caplog, capsys)
    assert number(engine, "select count(*) from campaigns.enrolments") == 1


def test_a_file_that_never_came_fails_the_day_after_its_deadline_and_says_what_to_do(
    run: Runs, shop_files: Path, engine: Engine, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    missed = run("sync_orders", day=LAST.isoformat())
    assert states(missed)["demo_shop.land"] == "failed"
    assert states(missed)["demo_shop.publish"] == "upstream_failed"
    told = log_of(caplog, capsys)
    assert LAST.isoformat() in told
    assert "clear this task" in told
    assert number(engine, "select count(*) from shop.orders") == 0


def test_an_expectation_that_fails_names_the_rule_and_the_numbers_and_links_to_the_page(
    run: Runs,
    shop_files: Path,
    engine: Engine,
    files: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    day = shop_files / LAST.isoformat()
    day.mkdir()
    for each in (files / LAST.isoformat()).iterdir():
        content = each.read_bytes()
        if each.name == "orders.csv":
            head, *rows = content.decode().splitlines()
            content = "\n".join([head, *(row.replace(",", ",no number ", 8) for row in rows * 9), ""]).encode()
        (day / each.name).write_bytes(content)
    failed = run("sync_orders", day=LAST.isoformat())
    assert states(failed)["demo_shop.validate"] == "failed"
    assert states(failed)["orders"] == "upstream_failed"
    told = log_of(caplog, capsys)
    assert f"http://airflow.test/retention/quality?day={LAST}" in told
    assert "rejected" in told
    assert number(engine, "select count(*) from shop.orders") == 0


def test_the_sender_reports_what_it_did(run: Runs, shop_files: Path, settings: Settings, engine: Engine) -> None:
    pipeline.run_days(Shop(settings, engine), EVE, EVE)
    sent = run("deliver_messages")
    assert set(states(sent).values()) == {"success"}
    assert set(returned(sent, "deliver")) >= {"accepted", "refused", "unknown", "deferred", "skipped"}


def test_the_delivery_says_of_which_campaign_the_file_is_missing(run: Runs, engine: Engine) -> None:
    with engine.begin() as connection:
        for statement in (
            "insert into campaigns.versions values ('gone', 'v', '{}', '{}', '', '2026-06-30')",
            "insert into campaigns.enrolments values (1, 'gone', 1, 'v', 'treated', '2026-06-30')",
        ):
            connection.execute(text(statement))
    assert "gone.yaml, but the campaign is not over" in returned(run("deliver_messages"), "deliver")["paused"]["gone"]
