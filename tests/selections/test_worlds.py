"""Refreshing day by day, in the present and as of the past."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings
from sqlalchemy import text

from retention.core import database, days
from retention.core.errors import InputError, StateError
from shop import ShopData

FIRST = date(2026, 11, 1)

MEMBERSHIP = (
    "select m.selection, c.customer_ref, m.entered_on, m.left_on from selections.membership as m"
    " join shop.customers as c using (customer_id) order by 1, 2, 3"
)
SOME = ("winback", "one_time_buyers", "registered_never_bought", "send_base")
PARENTS = {
    "winback": "customers",
    "one_time_buyers": "customers",
    "loyal": "customers",
    "lapsed_12_months": "customers",
}


def day_of(number: int) -> date:
    return FIRST + timedelta(days=number)


def lapse(shop: ShopData, ref: str, on: date) -> None:
    """A customer who falls into winback 366 days after `on`."""
    shop.order(shop.customer(ref), on)


def supersede(shop: ShopData, order_ref: str, status: str, known_on: date) -> None:
    """The order gets a new status by the sync of `known_on`; the old version moves to the history."""
    values = {"ref": order_ref, "status": status, "known": days.known_at(known_on, shop.zone)}
    with shop.engine.begin() as connection:
        connection.execute(
            text("insert into shop.orders_history select *, :known from shop.orders where order_ref = :ref"), values
        )
        connection.execute(
            text(
                "update shop.orders set status = :status, updated_at = :known, known_at = :known where order_ref = :ref"
            ),
            values,
        )


def test_a_refresh_writes_who_entered_and_left_and_keeps_when(workshop, shop: ShopData) -> None:
    lapse(shop, "old", FIRST - timedelta(days=500))
    lapse(shop, "soon", FIRST - timedelta(days=364))
    shop.publish(FIRST)
    assert workshop.select(FIRST, "winback")["winback"] | {"seconds": 0} == {
        "size": 1,
        "entered": 1,
        "left": 0,
        "seconds": 0,
    }
    shop.publish(day_of(1))
    workshop.select(day_of(1), "winback")
    shop.order("old", day_of(2))
    shop.publish(day_of(2))
    counts = workshop.select(day_of(2), "winback")["winback"]
    assert (counts["size"], counts["entered"], counts["left"]) == (1, 1, 1)
    assert workshop.rows(MEMBERSHIP + " offset 2") == [
        ("winback", "old", FIRST, day_of(2)),
        ("winback", "soon", day_of(2), None),
    ]
    assert workshop.rows("select count(*) from selections.winback") == [(1,)]
    assert workshop.rows("select pg_relation_size('selections.work_winback')") == [(0,)], "no rows, no pages"
    assert [workshop.members("winback", day_of(n)) for n in range(3)] == [["old"], ["old"], ["soon"]]


def test_a_day_done_returns_its_counts_and_changes_nothing(workshop, shop: ShopData) -> None:
    lapse(shop, "old", FIRST - timedelta(days=500))
    shop.publish(FIRST)
    once = workshop.select(FIRST)
    before = workshop.rows(MEMBERSHIP)
    shop.order("old", FIRST)  # slips in without being published
    assert workshop.select(FIRST) == once
    assert workshop.rows(MEMBERSHIP) == before


def days_go_by(shop: ShopData) -> Iterator[date]:
    """Ten days, each published with its facts: orders come, come late, are cancelled or refunded; a person moves."""
    orders = {}
    for number in range(12):
        ref = shop.customer(f"c{number:02}")
        orders[ref] = shop.order(ref, FIRST - timedelta(days=361 + number % 10))
    for number in range(10):
        if number < 5:
            orders[f"n{number:02}"] = shop.order(f"c{3 * number % 12:02}", day_of(number))
        if number == 3:
            shop.order("c02", day_of(3))
        if number == 4:
            shop.customer("newcomer", known_at=days.known_at(day_of(4), shop.zone))
            shop.order("newcomer", day_of(4))
        if number == 5:
            supersede(shop, orders["n01"], "cancelled", day_of(5))
        if number == 6:
            shop.order("c01", day_of(1), known_at=days.known_at(day_of(6), shop.zone))  # a late file
        if number == 7:
            supersede(shop, orders["c05"], "refunded", day_of(7))
        shop.publish(day_of(number))
        yield day_of(number)


def test_catching_up_gives_the_same_memberships_as_doing_every_day(workshop, restarted, shop: ShopData) -> None:
    done = "select day, part, counts - 'seconds' from shop.days where stage = 'selections' order by 1, 2"
    for day in days_go_by(shop):
        workshop.select(day, *SOME)
    daily, counts = workshop.rows(MEMBERSHIP), workshop.rows(done)
    assert {row[3] for row in daily if row[0] == "winback"} > {None}, "somebody left"
    restarted()
    workshop.select(FIRST, *SOME)
    workshop.select(day_of(9), *SOME)  # a selection has all its days before the next one begins
    assert workshop.rows(MEMBERSHIP) == daily
    assert workshop.rows(done) == counts


def test_the_past_is_what_was_true_and_known_then_and_overwrites_nothing(workshop, restarted, shop: ShopData) -> None:
    daily: dict[date, dict[str, tuple[list[str], int]]] = {}
    for day in days_go_by(shop):
        counts = workshop.select(day, *SOME)
        daily[day] = {name: (workshop.members(name, day), one["size"]) for name, one in counts.items()}
    restarted()
    workshop.select(day_of(9), *SOME)
    present = workshop.rows(MEMBERSHIP)
    for day in map(day_of, (8, 3, 0)):
        looked_back = workshop.select(day, *SOME)
        for name, (refs, size) in daily[day].items():
            assert workshop.members(name, day) == refs, (name, day)
            assert looked_back[name] | {"seconds": 0} == {"size": size, "entered": None, "left": None, "seconds": 0}
    assert workshop.rows(MEMBERSHIP) == present
    assert workshop.rows("select nspname from pg_namespace where nspname like 'as\\_of%'") == []


def test_the_present_and_the_same_day_as_of_later_agree(workshop, restarted, shop: ShopData) -> None:
    """What is live today is as-of tomorrow: every fact table is read both ways."""
    ref = shop.customer("C")
    order = shop.order(ref, FIRST - timedelta(days=20))
    for line_no, category in enumerate(("tea", "cups"), 1):
        shop._insert(
            "shop.order_lines",
            customer_id=ref,
            source="test",
            order_ref=order,
            line_no=line_no,
            product_ref="p",
            category=category,
            quantity=1,
            unit_price=5,
        )
    shop._insert(
        "shop.suppressions",
        customer_id=ref,
        channel="email",
        reason="complaint",
        known_at=days.known_at(FIRST, shop.zone),
        lifted_at=days.known_at(day_of(1), shop.zone),
    )
    shop._insert(
        "shop.engagement", customer_id=ref, tracked_since=date(2025, 1, 1), known_at=days.known_at(FIRST, shop.zone)
    )
    shop._insert(
        "shop.list_members",
        customer_id=ref,
        list="newsletter",
        since=days.known_at(FIRST - timedelta(days=9), shop.zone),
        updated_at=days.known_at(FIRST, shop.zone),
        known_at=days.known_at(FIRST, shop.zone),
    )
    product = (
        "insert into shop.products (source, product_ref, name, margin, currency, updated_at, known_at)"
        " values ('test', 'p', 'Tea', 0.4, 'EUR', :at, :at)"
    )
    with shop.engine.begin() as connection:
        connection.execute(text(product), {"at": days.known_at(FIRST, shop.zone)})
    tables = {
        "customers": "true",
        "orders": "true",
        "order_lines": "x.category = 'tea'",
        "customer_stats": "x.categories = array['cups', 'tea'] and x.revenue = 10",
        "consents": "x.channel = 'sms'",
        "list_members": "x.list = 'newsletter' and x.until is null",
        "suppressions": "true",
        "engagement": "true",
    }
    for table, condition in tables.items():
        workshop.write(f"sees_{table}", f"select x.customer_id from {table} as x where {condition}")
    sold_well = (
        "select distinct l.customer_id from order_lines as l inner join products as p using (source, product_ref)"
        " where p.margin = 0.4"
    )
    workshop.write("sees_products", sold_well, "refresh: full")
    shop.publish(FIRST)
    live = {name: counts["size"] for name, counts in workshop.select(FIRST).items()}
    assert all(live[f"sees_{table}"] == 1 for table in (*tables, "products")), live
    shop.customer("later", registered_at=None, known_at=days.known_at(day_of(1), shop.zone), consents=())
    shop.order("later", day_of(1))
    supersede(shop, order, "cancelled", day_of(1))
    with shop.engine.begin() as connection:
        for table, change in (("list_members", "until = :at"), ("products", "margin = 0.2")):
            at = {"at": days.known_at(day_of(1), shop.zone)}
            connection.execute(text(f"insert into shop.{table}_history select *, :at from shop.{table}"), at)
            connection.execute(text(f"update shop.{table} set {change}, known_at = :at"), at)
    shop.publish(day_of(1))
    restarted()
    as_of = {name: counts["size"] for name, counts in workshop.select(FIRST).items()}
    assert as_of == live


def test_a_day_after_the_newest_published_one_is_refused_and_leaves_no_trace(workshop, shop: ShopData) -> None:
    lapse(shop, "C", FIRST - timedelta(days=365))
    shop.publish(FIRST)
    for call in (workshop.select, lambda day: workshop.refresh("customers", day)):
        with pytest.raises(InputError, match="2026-11-02 is not published: the newest published day is 2026-11-01"):
            call(day_of(1))
    assert workshop.rows("select * from shop.days where stage = 'selections'") == []


def test_a_day_published_only_after_a_selection_went_past_it_is_not_done_late(workshop, shop: ShopData) -> None:
    """As when an old history is loaded: the present is not overwritten by the past."""
    lapse(shop, "C", FIRST - timedelta(days=400))
    for number in (0, 3):
        shop.publish(day_of(number))
        workshop.select(day_of(number), "winback")
    shop.publish(day_of(2))
    shop.publish(day_of(4))
    workshop.select(day_of(4), "winback")
    done = "select day from shop.days where part = 'winback' and state = 'done' order by 1"
    assert workshop.rows(done) == [(day_of(number),) for number in (0, 3, 4)]


def test_a_look_back_that_fails_leaves_no_trace(workshop, shop: ShopData) -> None:
    shop.publish_each(FIRST, day_of(1))
    workshop.select(day_of(1), "customers")
    workshop.write("customers", "select 1 / 0 as customer_id")
    before = workshop.rows("select * from shop.days order by day, stage, part")
    with pytest.raises(InputError, match="division by zero"):
        workshop.select(FIRST, "customers")
    assert workshop.rows("select * from shop.days order by day, stage, part") == before


def test_a_selection_waits_for_what_it_refers_to(workshop, shop: ShopData) -> None:
    shop.publish(FIRST)
    with pytest.raises(StateError, match="customers has not done 2026-11-01 yet: refresh it first"):
        workshop.refresh("winback", FIRST)
    workshop.refresh("customers", FIRST)
    workshop.refresh("winback", FIRST)


def test_a_selection_begun_later_still_serves_the_days_that_another_catches_up(workshop, shop: ShopData) -> None:
    lapse(shop, "C", FIRST - timedelta(days=400))
    shop.publish_each(FIRST, day_of(2))
    workshop.select(FIRST, "winback")
    workshop.write("newcomer", "select s.customer_id from customer_stats as s where s.complete_orders = 1")
    rule = "select c.customer_id from {{ selection('newcomer') }} as c"
    (workshop.settings.include / "sql" / "selections" / "winback.sql").write_text(f"-- Now another rule.\n{rule}\n")
    assert workshop.select(day_of(2), "winback")["winback"]["size"] == 1
    assert workshop.rows("select count(*) from shop.days where part = 'newcomer'") == [(1,)]
    assert workshop.rows("select count(*) from shop.days where part = 'winback'") == [(3,)]


def test_a_sync_in_between_makes_the_day_a_past_one(workshop, shop: ShopData, monkeypatch) -> None:
    """Whatever is published while a refresh runs, the refresh gives what was known at the end of its day."""
    lapse(shop, "C", FIRST - timedelta(days=400))
    shop.publish(FIRST)
    workshop.refresh("customers", FIRST)
    count = database.count
    synced: list[str] = []

    def sync_first(connection: Any, name: str, *rest: Any, **values: Any) -> int:
        if name == "selections/refresh/fill" and not synced:
            synced.append(name)
            shop.order("C", day_of(1))
            shop.publish(day_of(1))
        return count(connection, name, *rest, **values)

    monkeypatch.setattr(database, "count", sync_first)
    assert workshop.refresh("winback", FIRST)["size"] == 1
    assert synced


def test_members_of_an_unknown_or_never_refreshed_selection_say_so(workshop, shop: ShopData) -> None:
    lapse(shop, "C", FIRST)
    shop.publish(FIRST)
    with pytest.raises(StateError, match="was never refreshed"):
        workshop.members("winback")
    assert workshop.members("customers", FIRST) == ["C"]
    assert workshop.rows("select count(*) from pg_tables where schemaname = 'selections'") == [(1,)]


ORDERS = st.lists(
    st.tuples(
        st.integers(0, 4),  # customer
        st.one_of(st.integers(-3, 3), st.integers(-368, -362), st.integers(-900, -1)),  # ordered on this day
        st.sampled_from(["complete", "complete", "pending", "cancelled", "refunded"]),
        st.integers(0, 3),  # known this many days late
    ),
    max_size=20,
)
OVERLAPPING = (
    "select 1 from selections.membership as a join selections.membership as b using (selection, customer_id)"
    " where a.entered_on < b.entered_on and (a.left_on is null or a.left_on > b.entered_on)"
)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(orders=ORDERS, refreshed=st.sets(st.integers(0, 2)))
def test_a8_no_child_ever_holds_a_non_member_of_its_parent(workshop, restarted, shop, orders, refreshed) -> None:
    restarted()
    with shop.engine.begin() as connection:
        connection.execute(text("truncate shop.orders, shop.customers, shop.consents, shop.customer_stats, shop.days"))
    for number in range(5):
        shop.customer(f"c{number}", consents=())
    for number, offset, status, late in orders:
        known_on = max(day_of(offset), FIRST) + timedelta(days=late)
        shop.order(f"c{number}", day_of(offset), status=status, known_at=days.known_at(known_on, shop.zone))
    shop.publish_each(FIRST, day_of(3))
    for number in [*sorted(refreshed), 3]:
        workshop.select(day_of(number), *PARENTS)
        for child, parent in PARENTS.items():
            strangers = f"select count(*) from selections.{child} where customer_id not in (table selections.{parent})"
            assert workshop.rows(strangers) == [(0,)], (child, number)
    for child, parent in PARENTS.items():
        assert workshop.rows(f"{members_of_every_day(child)} except {members_of_every_day(parent)}") == [], child
    assert workshop.rows(OVERLAPPING) == []


def members_of_every_day(name: str) -> str:
    """Each customer and day of a selection's membership, over the days that all of them did."""
    return (
        "select m.customer_id, d.day from selections.membership as m"
        " join shop.days as d on d.stage = 'selections' and d.part = 'winback' and d.state = 'done'"
        f" and m.entered_on <= d.day and (m.left_on is null or m.left_on > d.day) where m.selection = '{name}'"
    )
