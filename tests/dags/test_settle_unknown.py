"""Messages nobody knows of, asked about in Airflow: a required action for each group, and what an answer does."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from answering import somebody_answers
from sqlalchemy import Engine, text

from retention.core.settings import Settings
from shop import ShopData

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(240)]

ONE, OTHER = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"


@pytest.fixture
def lost(shop: ShopData, engine: Engine, shop_of_tasks: Settings) -> Callable[[], dict[str, int]]:
    """Three messages lost two days ago in two claims; a function that says which states they are in now."""
    at = datetime.now(UTC) - timedelta(days=2)
    with engine.begin() as connection:
        for ref, claim in (("ada", ONE), ("bob", ONE), ("carol", OTHER)):
            shop.customer(ref)
            connection.execute(
                text(
                    "insert into delivery.messages (customer_id, message_key, campaign, version, entry_no, step,"
                    " channel, day, state, reason, due_at, expires_at, window_start, window_end, attempts, claim,"
                    " provider, attempted_at, settled_at) values (shop.customer_id('test', :ref), :ref, 'winback',"
                    " 'v1', 1, 'hello', 'email', :day, 'unknown', 'timeout', :at, :expires, '09:00', '20:00', 1,"
                    " :claim, 'sendgrid', :at, :at)"
                ),
                {"ref": ref, "claim": claim, "at": at, "expires": at + timedelta(days=9), "day": date(2026, 11, 20)},
            )

    def states() -> dict[str, int]:
        with engine.begin() as connection:
            rows = connection.execute(text("select message_key, state from delivery.messages"))
            return {row.message_key: row.state for row in rows}

    return states


TWO = "2 messages of winback, hello: were they sent?"
SINGLE = "1 message of winback, hello: were they sent?"


def test_each_group_is_asked_about_once_and_the_answer_is_done_with_the_name_of_who_gave_it(
    dags: dict[str, Any], lost: Callable[[], dict[str, int]], engine: Engine
) -> None:
    with somebody_answers({TWO: ["send again"], SINGLE: ["sent"]}) as asked:
        run = dags["settle_unknown"].test(logical_date=None)
    assert str(run.state) == "success"
    assert lost() == {"ada": "planned", "bob": "planned", "carol": "accepted"}
    assert {tuple(each.options) for each in asked} == {("sent", "send again", "leave unknown")}
    assert not [each for each in asked if "@" in each.body or "ada" in each.body]
    with engine.begin() as connection:
        decided = connection.execute(
            text("select message_key, decision, decided_by from delivery.decisions order by 1")
        )
        assert [tuple(row) for row in decided] == [
            ("ada", "again", "olga"),
            ("bob", "again", "olga"),
            ("carol", "sent", "olga"),
        ]


def test_without_an_answer_in_time_everything_stays_as_it_is(
    dags: dict[str, Any], lost: Callable[[], dict[str, int]]
) -> None:
    with somebody_answers({TWO: None, SINGLE: ["leave unknown"]}):
        run = dags["settle_unknown"].test(logical_date=None)
    assert str(run.state) == "success"
    assert set(lost().values()) == {"unknown"}


def test_where_nothing_is_lost_nobody_is_asked(dags: dict[str, Any], shop_of_tasks: Settings) -> None:
    begun = time.monotonic()
    run = dags["settle_unknown"].test(logical_date=None)
    assert str(run.state) == "success"
    assert {str(task.state) for task in run.get_task_instances() if task.task_id in ("ask", "settle")} == {"skipped"}
    assert time.monotonic() - begun < 60
