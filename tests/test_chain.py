"""The whole chain on the demo shop: the same days give the same ledger, however they were run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, text

from retention import chain, database
from retention.orders import demo, sync
from retention.settings import Settings, from_environment

LAST = date(2026, 6, 30)
FIRST = LAST - timedelta(days=13)

# Everything that decides, nothing that only says when or by whom: wall-time stamps, claims, provider ids.
LEDGER = """
select m.customer_id, m.message_key, m.campaign, m.version, m.entry_no, m.step, m.channel, m.day, m.state, m.reason,
    m.due_at, m.expires_at, m.attempts, m.attempted_at, e.arm, e.entered_on, e.exited_on, e.exit_reason,
    c.code, c.state as coupon, c.expires_at as coupon_expires_at
from delivery.messages as m
join campaigns.enrolments as e using (customer_id, campaign, entry_no)
left join campaigns.coupons as c using (customer_id, campaign, entry_no, offer)
order by m.message_key
"""


def rows(engine: Engine, query: str) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(text(query)))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo shop's daily files: a history, and the fourteen days after it."""
    folder = tmp_path_factory.mktemp("demo")
    demo.generate(folder, customers=400, days=420, seed=11, until=LAST, zone=from_environment({}).shop_time_zone)
    return folder


@pytest.fixture(scope="module")
def history(server: str, template: str, files: Path) -> str:
    """The name of a database with everything before the fourteen days loaded; each test clones it."""
    name = f"history_{os.getpid()}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"create database {name} template {template}")
    settings = from_environment({"RETENTION_DATABASE_URL": f"{server}/{name}", "RETENTION_LOCAL": str(files)})
    before = files / "before"
    before.mkdir()
    for folder in files.iterdir():
        if folder.name < FIRST.isoformat() and folder.name != "before":
            (before / folder.name).symlink_to(folder)
    sync.load(settings, database.connect(settings), "demo_shop", str(before))
    return name


@pytest.fixture
def shops(server: str, history: str, tmp_path: Path) -> Any:
    """Make as many copies of the loaded shop as a test compares."""

    made: list[str] = []

    def copy(name: str) -> tuple[Settings, Engine]:
        database_name = f"{history}_{name}"
        with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
            connection.execute(f"create database {database_name} template {history}")
        made.append(database_name)
        settings = from_environment(
            {
                "RETENTION_DATABASE_URL": f"{server}/{database_name}",
                "RETENTION_LOCAL": str(tmp_path / name),
                "RETENTION_CLOCK": "days",
            }
        )
        return settings, database.connect(settings)

    yield copy
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        for each in made:
            connection.execute(f"drop database {each} with (force)")


def test_days_run_at_once_and_one_by_one_and_again_give_the_same_ledger(shops: Any, files: Path) -> None:
    settings, engine = shops("at_once")
    chain.run_days(settings, engine, FIRST, LAST, path=str(files))
    ledger = rows(engine, LEDGER)
    assert len(ledger) > 50
    assert {row.state for row in ledger} >= {"accepted", "skipped"}

    one_settings, one_engine = shops("one_by_one")
    for number in range(14):
        day = FIRST + timedelta(days=number)
        chain.run_days(one_settings, one_engine, day, day, path=str(files))
    assert rows(one_engine, LEDGER) == ledger

    chain.run_days(settings, engine, FIRST, LAST, path=str(files))
    assert rows(engine, LEDGER) == ledger


def test_a_run_killed_again_and_again_ends_with_the_same_ledger(shops: Any, files: Path) -> None:
    settings, engine = shops("whole")
    chain.run_days(settings, engine, FIRST, LAST, path=str(files))

    killed_settings, killed_engine = shops("killed")
    environment = {
        **os.environ,
        "RETENTION_DATABASE_URL": str(killed_settings.database_url),
        "RETENTION_LOCAL": str(killed_settings.local),
    }
    command = [sys.executable, "-m", "retention.cli", "run", "--path", str(files)]
    command += ["--from", FIRST.isoformat(), "--to", LAST.isoformat()]
    moments = random.Random(5)
    kills = 0
    for _ in range(6):
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        time.sleep(moments.uniform(2, 9))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills > 0
    assert subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True).returncode == 0
    assert rows(killed_engine, LEDGER) == rows(engine, LEDGER)


def test_a_day_left_out_is_caught_up_with_the_same_memberships_and_nothing_is_sent_twice(
    shops: Any, files: Path
) -> None:
    membership = "select * from selections.membership order by selection, customer_id, entered_on"
    settings, engine = shops("daily")
    chain.run_days(settings, engine, FIRST, FIRST + timedelta(days=4), path=str(files))
    late_settings, late_engine = shops("late")
    chain.run_days(late_settings, late_engine, FIRST, FIRST + timedelta(days=1), path=str(files))
    skipped_to = FIRST + timedelta(days=4)
    chain.run_days(late_settings, late_engine, skipped_to, skipped_to, path=str(files))
    assert rows(late_engine, membership) == rows(engine, membership)
    assert rows(late_engine, LEDGER) == rows(engine, LEDGER)


def test_who_orders_after_day_0_gets_no_later_step_and_control_gets_nothing(shops: Any, files: Path) -> None:
    settings, engine = shops("proof")
    chain.run_days(settings, engine, FIRST, LAST, path=str(files))
    ordered = rows(
        engine,
        """
        select e.customer_id, e.campaign, e.entry_no, e.exited_on
        from campaigns.enrolments as e
        where e.campaign = 'winback' and e.exit_reason = 'order' and e.arm = 'treated'
        """,
    )
    assert ordered, "the demo shop has customers who come back"
    for row in ordered:
        sent = rows(
            engine,
            f"""
            select day from delivery.messages
            where customer_id = {row.customer_id} and campaign = '{row.campaign}' and entry_no = {row.entry_no}
                and state = 'accepted' and day >= '{row.exited_on}'
            """,
        )
        assert not sent
    control = rows(engine, "select customer_id, campaign from campaigns.enrolments where arm = 'control'")
    assert control
    assert not rows(
        engine,
        """
        select from delivery.messages as m
        join campaigns.enrolments as e using (customer_id, campaign, entry_no) where e.arm = 'control'
        """,
    )
