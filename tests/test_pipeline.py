"""The whole chain on the demo shop: the same days give the same ledger, however they were run."""

from __future__ import annotations

import multiprocessing
import os
import random
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, text

import sessions
from retention import pipeline
from retention.core import database
from retention.core.errors import InputError
from retention.core.settings import Settings, from_environment
from retention.core.shop import Shop, opened
from retention.delivery.operations import proof
from retention.demo import generator as demo
from retention.orders import sync

LAST = date(2026, 6, 30)
FORK = multiprocessing.get_context("fork")
DAYS = int(os.environ.get("RETENTION_TEST_DAYS", "9"))  # long enough for day 0, day 2 and day 7
FIRST = LAST - timedelta(days=DAYS - 1)

# Everything that decides, nothing that only says when or by whom: wall-time stamps, claims, provider ids.
LEDGER = """
select m.customer_id, m.message_key, m.campaign, m.version, m.entry_no, m.step, m.channel, m.day, m.state, m.reason,
    m.due_at, m.expires_at, m.attempts, m.attempted_at, e.arm, e.entered_on, e.exited_on, e.exit_reason,
    c.code, c.state as coupon, c.expires_at as coupon_expires_at, a.added_in, a.left_at, a.left_reason, a.removed_in
from delivery.messages as m
join campaigns.enrolments as e using (customer_id, campaign, entry_no)
left join offers.coupons as c using (customer_id, campaign, entry_no, offer)
left join delivery.audience_members as a using (customer_id, message_key)
order by m.message_key
"""


MEMBERSHIP = "select * from selections.membership order by selection, customer_id, entered_on"


def rows(settings: Settings, query: str) -> list[Any]:
    with database.connect(settings).connect() as connection:
        return list(connection.execute(text(query)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the demo shop's daily files go: a history, and beside it the same shop days in question later."""
    zone = from_environment({}).shop_time_zone
    folder = tmp_path_factory.mktemp("demo")
    demo.generate(folder / "history", customers=600, days=420, seed=11, until=FIRST - timedelta(days=1), zone=zone)
    demo.generate(folder / "whole", customers=600, days=420 + DAYS, seed=11, until=LAST, zone=zone)
    return folder


@pytest.fixture
def files(folder: Path) -> Path:
    """The folder with all days."""
    return folder / "whole"


@pytest.fixture(scope="module")
def history(server: str, template: str, folder: Path) -> str:
    """The name of a database with everything before the days in question loaded; each test clones it."""
    name = f"history_{os.getpid()}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"create database {name} template {template}")
    settings = from_environment({"RETENTION_DATABASE_URL": f"{server}/{name}", "RETENTION_LOCAL": str(folder)})
    sync.load(opened(settings), "demo_shop", str(folder / "history"))
    return name


@pytest.fixture(scope="module")
def shops(server: str, history: str, folder: Path) -> Iterator[Callable[[str], Settings]]:
    """Make as many copies of the loaded shop as the tests compare."""
    made: list[str] = []

    def copy(name: str) -> Settings:
        database_name = f"{history}_{name}"
        with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
            connection.execute(f"create database {database_name} template {history}")
        made.append(database_name)
        return from_environment(
            {
                "RETENTION_DATABASE_URL": f"{server}/{database_name}",
                "RETENTION_LOCAL": str(folder / name),
                "RETENTION_CLOCK": "days",
            }
        )

    yield copy
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        for each in made:
            connection.execute(f"drop database {each} with (force)")


@pytest.fixture(scope="module")
def whole(shops: Callable[[str], Settings], folder: Path) -> Settings:
    """A shop in which all days were run in one go: what the others are held against."""
    settings = shops("whole")
    pipeline.run_days(Shop(settings, sessions.connect(settings)), FIRST, LAST, path=str(folder / "whole"))
    return settings


def test_on_the_clock_of_the_days_a_campaign_is_not_delivered_alone(settings: Settings, engine: Engine) -> None:
    with pytest.raises(InputError, match="leave --campaign out"):
        pipeline.deliver(Shop(settings.evolve(clock="days"), engine), campaign="nope")


def test_days_run_again_change_nothing(whole: Settings, files: Path) -> None:
    ledger = rows(whole, LEDGER)
    assert {row.state for row in ledger} >= {"accepted", "skipped"}
    assert {row.step for row in ledger} >= {"we_miss_you", "nudge", "retarget", "final_offer"}
    assert any(row.added_in for row in ledger), "somebody is shown ads"
    pipeline.run_days(Shop(whole, sessions.connect(whole)), FIRST, LAST, path=str(files))
    assert rows(whole, LEDGER) == ledger


def test_a_run_killed_again_and_again_ends_with_the_same_ledger(
    whole: Settings, shops: Callable[[str], Settings], files: Path
) -> None:
    killed = shops("killed")

    def run() -> None:
        pipeline.run_days(opened(killed), FIRST, LAST, path=str(files))

    moments = random.Random(5)
    kills = 0
    for _ in range(4):
        process = FORK.Process(target=run)  # which has imported everything, so that it dies in the middle of a day
        process.start()
        process.join(moments.uniform(1, 4))
        if process.is_alive():
            process.kill()
            kills += 1
        process.join()
    assert kills > 0
    run()
    assert rows(killed, LEDGER) == rows(whole, LEDGER)
    assert rows(killed, MEMBERSHIP) == rows(whole, MEMBERSHIP)


def test_days_left_out_are_caught_up_with_the_same_memberships_and_the_same_ledger(
    whole: Settings, shops: Callable[[str], Settings], files: Path
) -> None:
    late = shops("late")
    engine = sessions.connect(late)
    pipeline.run_days(Shop(late, engine), FIRST, FIRST + timedelta(days=1), path=str(files))
    pipeline.run_days(Shop(late, engine), LAST, LAST, path=str(files))
    assert rows(late, MEMBERSHIP) == rows(whole, MEMBERSHIP)
    assert rows(late, LEDGER) == rows(whole, LEDGER)


def test_who_orders_after_entry_gets_no_later_step(whole: Settings) -> None:
    came_back = rows(whole, "select from campaigns.enrolments where exit_reason = 'order' and arm = 'treated'")
    assert came_back, "the demo shop has customers who come back"
    assert not rows(
        whole,
        """
        select from campaigns.enrolments as e
        join delivery.messages as m using (customer_id, campaign, entry_no)
        where e.exit_reason = 'order' and m.state = 'accepted' and m.day >= e.exited_on
        """,
    )


def test_the_control_arm_gets_nothing_and_is_in_no_message_table(whole: Settings) -> None:
    assert rows(whole, "select from campaigns.enrolments where arm = 'control'")
    for table in ("delivery.messages", "delivery.outbox"):
        assert not rows(
            whole,
            f"""
            select from {table} as m join campaigns.enrolments as e using (customer_id)
            where e.arm = 'control' and not exists (
                select from campaigns.enrolments as t where t.customer_id = e.customer_id and t.arm = 'treated'
            )
            """,
        )


def test_the_nightly_proof_finds_nothing(whole: Settings) -> None:
    assert proof.must_hold(opened(whole)) == dict.fromkeys(proof.CHECKS, 0)
