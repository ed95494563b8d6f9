"""Enrolments that wait for approval, in Airflow: the question, the answer, no answer."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from answering import somebody_answers
from sqlalchemy import Engine, text

from retention.campaigns import steps
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.selections import refresh
from shop import ShopData

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(240)]

DAY = date(2026, 11, 20)
SUBJECT = "Enrol 1 customers in winback, day 2026-11-20?"


@pytest.fixture
def town(shop: ShopData, shop_of_tasks: Settings, engine: Engine) -> ShopData:
    """ada waits for the first launch of winback, bob is in lapsed_30_days."""
    shop.customer("ada", first_name="Petronella")
    shop.order("ada", DAY - timedelta(days=500))
    shop.customer("bob")
    shop.order("bob", DAY - timedelta(days=31))
    shop.publish(DAY)
    town = Shop(shop_of_tasks, engine)
    refresh.select(town, DAY)
    steps.enrol(town, "winback", DAY)
    return shop


def rows(engine: Engine, statement: str) -> list[Any]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def run(dags: dict[str, Any]) -> str:
    return str(dags["approve_enrolments"].test(logical_date=None).state)


def test_an_approved_enrolment_enters_and_is_planned_and_says_who_approved_it(
    dags: dict[str, Any], town: ShopData, engine: Engine
) -> None:
    with somebody_answers({SUBJECT: ["enrol"]}) as asked:
        assert run(dags) == "success"
    assert {tuple(each.options) for each in asked} == {("enrol", "do not enrol")}
    assert "| en | 1 |" in asked[0].body
    assert "Petronella" not in asked[0].body
    assert rows(engine, "select state, decided_by from campaigns.approvals") == [("approved", "olga")]
    assert rows(engine, "select entered_on from campaigns.enrolments") == [(DAY,)]
    treated = rows(engine, "select count(*) from campaigns.enrolments where arm = 'treated'")
    assert rows(engine, "select count(*) from delivery.messages where state = 'planned'") == treated
    assert run(dags) == "success", "nothing waits any more"
    assert rows(engine, "select count(*) from campaigns.enrolments") == [(1,)]


def test_an_answer_is_carried_out_while_another_question_waits(
    dags: dict[str, Any], town: ShopData, shop_of_tasks: Settings, engine: Engine
) -> None:
    steps.enrol(Shop(shop_of_tasks, engine), "lapsed_30_days", DAY)
    other = SUBJECT.replace("winback", "lapsed_30_days")

    def is_first_carried_out() -> bool:
        return rows(engine, "select state from campaigns.approvals where campaign = 'winback'") == [("approved",)]

    with somebody_answers({SUBJECT: ["enrol"], other: ["do not enrol"]}, {other: is_first_carried_out}):
        assert run(dags) == "success"
    states = "select campaign, state from campaigns.approvals order by 1"
    assert rows(engine, states) == [("lapsed_30_days", "refused"), ("winback", "approved")]


@pytest.mark.parametrize(("answer", "by"), [(["do not enrol"], "olga"), (None, "nobody")])
def test_an_enrolment_that_nobody_approves_enrols_nobody(
    dags: dict[str, Any], town: ShopData, engine: Engine, answer: list[str] | None, by: str
) -> None:
    with somebody_answers({SUBJECT: answer}):
        assert run(dags) == "success"
    assert rows(engine, "select state, decided_by from campaigns.approvals") == [("refused", by)]
    assert rows(engine, "select count(*) from campaigns.enrolments") == [(0,)]
