"""A campaign sent once by hand, in Airflow: the form, the question, the answer (B6, B7, F1)."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from answering import somebody_answers
from sqlalchemy import Engine, text

from retention.core.settings import Settings
from shop import ShopData

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(240)]

DAY = date(2026, 11, 20)
FORM = {"campaign": "winback", "at_least_days": 365, "at_most_days": 800}
SUBJECT = "Send winback to 1 customers?"


@pytest.fixture
def town(shop: ShopData, shop_of_tasks: Settings) -> ShopData:
    shop.customer("ada", first_name="Petronella")
    shop.order("ada", DAY - timedelta(days=500))
    shop.customer("new")
    shop.order("new", DAY - timedelta(days=5))
    shop.publish(DAY)
    return shop


def rows(engine: Engine, statement: str) -> list[Any]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def run(dags: dict[str, Any], **form: Any) -> dict[str, str]:
    """Trigger it with a filled-in form; the states of its tasks."""
    done = dags["send_campaign"].test(logical_date=None, run_conf=FORM | form)
    return {"run": str(done.state)} | {task.task_id: str(task.state) for task in done.get_task_instances()}


def test_an_approved_send_enrols_and_plans_and_says_who_approved_it(
    dags: dict[str, Any], town: ShopData, engine: Engine
) -> None:
    with somebody_answers({SUBJECT: ["send"]}) as asked:
        states = run(dags)
    assert states["run"] == "success"
    assert states["try_out"] == "skipped"
    assert {tuple(each.options) for each in asked} == {("send", "do not send")}
    assert "Petronella" not in asked[0].body
    assert "| en | 1 |" in asked[0].body
    assert rows(engine, "select state, decided_by from campaigns.sends") == [("approved", "olga")]
    assert rows(engine, "select entered_on, send_id is not null from campaigns.enrolments") == [(DAY, True)]
    planned = "select count(*) from campaigns.enrolments where arm = 'treated'"
    assert rows(engine, "select count(*) from delivery.messages where state = 'planned'") == rows(engine, planned)
    with somebody_answers({SUBJECT: ["send"]}):
        run(dags)
    assert rows(engine, "select count(*) from campaigns.enrolments") == [(1,)], "the same form is the same send"


@pytest.mark.parametrize(("answer", "state"), [(["do not send"], "rejected"), (None, "expired")])
def test_a_send_that_nobody_approves_sends_nothing(
    dags: dict[str, Any], town: ShopData, engine: Engine, answer: list[str] | None, state: str
) -> None:
    with somebody_answers({SUBJECT: answer}):
        assert run(dags)["run"] == "success"
    assert rows(engine, "select state from campaigns.sends") == [(state,)]
    assert rows(engine, "select count(*) from campaigns.enrolments") == [(0,)]


def test_a_test_run_leaves_nothing(dags: dict[str, Any], town: ShopData, engine: Engine) -> None:
    states = run(dags, test=True)
    assert (states["run"], states["try_out"], states["prepare"]) == ("success", "success", "skipped")
    assert rows(engine, "select count(*) from campaigns.sends") == [(0,)]


def test_an_audience_without_bounds_fails_at_once(dags: dict[str, Any], town: ShopData, engine: Engine) -> None:
    states = run(dags, at_most_days=100)
    assert states["run"] == "failed"
    assert "success" not in states.values()
    assert rows(engine, "select count(*) from campaigns.sends") == [(0,)]
