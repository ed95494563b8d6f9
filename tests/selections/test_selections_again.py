"""A day of the selections that is asked again: it stands, or is computed again, and says which (DESIGN 3)."""

from __future__ import annotations

import logging
from datetime import date, timedelta
from typing import Any

import pytest

from retention.cli import console as cli
from retention.core import days
from retention.core.errors import InputError
from retention.core.shop import Shop
from retention.selections import refresh
from shop import ShopData, dump

FIRST = date(2026, 3, 2)
NEXT = FIRST + timedelta(days=1)
MEMBERSHIP = (
    "select c.customer_ref, m.entered_on, m.left_on from selections.membership as m"
    " join shop.customers as c using (customer_id) where m.selection = 'winback' order by 1, 2"
)


@pytest.fixture
def lapsed(shop: ShopData) -> ShopData:
    """ann and bob are in winback on FIRST."""
    for ref in ("ann", "bob"):
        shop.order(shop.customer(ref), FIRST - timedelta(days=500))
    shop.publish(FIRST)
    return shop


def test_the_command_refuses_a_day_that_is_not_published_on_the_clock_of_the_days_too(
    workshop: Any, lapsed: ShopData, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RETENTION_DATABASE_URL", str(workshop.settings.database_url))
    monkeypatch.setenv("RETENTION_CLOCK", "days")
    for command in (["select"], ["select", "--dry-run"], ["campaign", "winback"], ["campaign", "winback", "--test"]):
        assert cli.main([*command, "--day", "2027-02-01"]) == 2
        assert f"the newest published day is {FIRST}" in capsys.readouterr().err
    assert workshop.rows("select * from shop.days where stage <> 'orders'") == []


def test_the_newest_day_stands_while_nothing_has_changed_and_the_log_says_so(
    workshop: Any, lapsed: ShopData, caplog: pytest.LogCaptureFixture
) -> None:
    once = workshop.select(FIRST, "winback")
    before = dump(workshop.engine)
    with caplog.at_level(logging.INFO):
        assert workshop.select(FIRST, "winback") == once
    assert f"selections winback, {FIRST}: as recorded" in caplog.text
    assert dump(workshop.engine) == before


def test_orders_that_come_later_on_the_same_day_are_computed_in_and_only_the_difference_is_written(
    workshop: Any, lapsed: ShopData
) -> None:
    lapsed.publish(FIRST - timedelta(days=1))
    assert workshop.select(FIRST - timedelta(days=1), "winback")["winback"]["entered"] == 2
    lapsed.order(lapsed.customer("cas"), FIRST - timedelta(days=366))
    lapsed.publish(FIRST)
    assert workshop.select(FIRST, "winback")["winback"]["entered"] == 1
    lapsed.order("bob", FIRST)
    lapsed.order("cas", FIRST)
    lapsed.publish(FIRST)
    again = workshop.select(FIRST, "winback")["winback"]
    assert (again["size"], again["entered"], again["left"]) == (1, 0, 1)
    assert again["again"] == "facts have come since"
    assert workshop.rows(MEMBERSHIP) == [
        ("ann", FIRST - timedelta(days=1), None),
        ("bob", FIRST - timedelta(days=1), FIRST),
    ]


def test_who_did_not_leave_after_all_never_left(workshop: Any, lapsed: ShopData) -> None:
    workshop.select(FIRST, "winback")
    ref = lapsed.order("bob", NEXT)
    lapsed.publish(NEXT)
    assert workshop.select(NEXT, "winback")["winback"]["left"] == 1
    with workshop.engine.begin() as connection:
        connection.exec_driver_sql("update shop.orders set status = 'cancelled' where order_ref = %s", (ref,))
    lapsed.publish(NEXT)
    assert workshop.select(NEXT, "winback")["winback"]["left"] == 0
    assert workshop.rows(MEMBERSHIP) == [("ann", FIRST, None), ("bob", FIRST, None)]


def test_changed_sql_is_computed_again_for_the_newest_day_and_older_days_stay(workshop: Any, lapsed: ShopData) -> None:
    once = workshop.select(FIRST, "winback")["winback"]
    lapsed.publish(NEXT)
    workshop.select(NEXT, "winback")
    workshop.write("winback", "select s.customer_id from customer_stats as s where s.revenu > 0", "parent: customers")
    with pytest.raises(InputError, match="revenu"):
        workshop.refresh("winback", NEXT)
    assert workshop.select(FIRST, "winback")["winback"] == once
    workshop.write("winback", "select s.customer_id from customer_stats as s where false", "parent: customers")
    again = workshop.refresh("winback", NEXT)
    assert (again["size"], again["left"], again["again"]) == (0, 2, "what it is made by has changed")


def test_a_selection_follows_its_parent_when_only_that_has_changed(workshop: Any, lapsed: ShopData) -> None:
    workshop.select(FIRST, "winback")
    workshop.write("customers", "select c.customer_id from customers as c where c.customer_ref = 'ann'")
    assert workshop.select(FIRST, "winback")["winback"]["size"] == 1


def test_a_child_computed_on_an_older_parent_is_computed_again_once_the_parent_is(
    workshop: Any, lapsed: ShopData
) -> None:
    workshop.select(FIRST, "winback")
    lapsed.order(lapsed.customer("cas"), FIRST - timedelta(days=500))
    lapsed.publish(FIRST)
    assert workshop.refresh("winback", FIRST)["size"] == 2, "its parent does not hold cas yet"
    workshop.refresh("customers", FIRST)
    assert workshop.refresh("winback", FIRST)["size"] == 3


def test_a_day_overtaken_by_the_next_while_it_waits_its_turn_stays_as_it_was(
    workshop: Any, lapsed: ShopData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run publishes and does the next day between the question and the lock."""
    workshop.select(FIRST, "winback")
    lapsed.order("bob", FIRST)
    lapsed.publish(FIRST)  # so that FIRST is computed again
    lock, is_overtaken = days.lock, False

    def late(*arguments: Any) -> None:
        nonlocal is_overtaken
        if arguments[-1] == "winback" and not is_overtaken:
            is_overtaken = True
            lapsed.order("ann", NEXT)
            lapsed.publish(NEXT)
            workshop.select(NEXT, "winback")
        lock(*arguments)

    monkeypatch.setattr(days, "lock", late)
    workshop.select(FIRST, "winback")
    assert is_overtaken
    assert workshop.rows(MEMBERSHIP) == [("ann", FIRST, NEXT), ("bob", FIRST, NEXT)]


def test_a_dry_run_shows_the_difference_of_any_published_day_and_writes_nothing(
    workshop: Any, lapsed: ShopData
) -> None:
    lapsed.publish(NEXT)
    workshop.select(FIRST)
    workshop.select(NEXT)
    workshop.write(
        "winback",
        "select o.customer_id from orders as o join customers as c using (customer_id) where c.customer_ref <> 'ann' "
        "union all select 1",
        "parent: customers",
        "refresh: full",
    )
    for number in range(12):
        lapsed.order(lapsed.customer(f"c{number:02}", known_at=days.known_at(FIRST, lapsed.zone)), FIRST)
    lapsed.publish(NEXT)
    before = dump(workshop.engine)
    for day in (FIRST, NEXT):
        found = refresh.rehearse(Shop(workshop.settings, workshop.engine), day, ["winback"])
        assert list(found) == ["customers", "winback"]
        assert found["customers"]["entered"]["customers"] == 12
        assert found["winback"] == {
            "size": 13,
            "entered": {"customers": 12, "sample": [f"c{number:02}" for number in range(10)]},
            "left": {"customers": 1, "sample": ["ann"]},
            "same": 1,
            "excluded": {"not_in_customers": 1},
        }
    assert dump(workshop.engine) == before


def test_a_day_over_is_not_answered_with_advice_that_would_not_help(workshop: Any, lapsed: ShopData) -> None:
    selection = days.Part("selections", "winback")
    lapsed.publish(NEXT)
    with workshop.engine.begin() as connection:
        selection.record(connection, NEXT, "done")
        with pytest.raises(Exception, match=f"gone on to {NEXT} and does no older day any more: do {NEXT}") as told:
            selection.refuse_undone(connection, FIRST, "The selection winback", f"run `retention select --day {FIRST}`")
    assert "retention select" not in str(told.value)
