"""Syncing the demo shop's files day by day: idempotent, in order, versions kept."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from shop_files import DAY, consent, customer, line, order, write_day
from sqlalchemy import Engine, text

from retention.core.errors import InputError, NotReady, StateError
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.orders import sync

NEXT = DAY + timedelta(days=1)


def rows(engine: Engine, statement: str, **values: Any) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement), values)]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return tmp_path / "demo_shop"


def test_a_day_publishes_customers_orders_lines_and_consents(settings: Settings, engine: Engine, files: Path) -> None:
    write_day(
        files,
        orders=[order("1"), order("2", "C2", total="20.00")],
        lines=[line("1"), line("2"), line("2", 2)],
        customers=[customer("C1")],
        consents=[consent("C1")],
    )
    counts = sync.sync(Shop(settings, engine), "demo_shop", DAY)
    assert counts.counts() == {
        "landed": 7,
        "accepted": 7,
        "rejected": 0,
        "corrected": 0,
        "orders_inserted": 2,
        "orders_updated": 0,
        "orders_unchanged": 0,
        "customers_touched": 2,
    }
    assert rows(engine, "select customer_ref, email from shop.customers order by 1") == [
        ("C1", "c1@mail.example"),
        ("C2", None),
    ]
    assert rows(engine, "select count(*) from shop.order_lines") == [(3,)]
    assert rows(engine, "select channel, is_granted from shop.consents") == [("email", True)]
    assert rows(engine, "select sum(complete_orders), sum(revenue), min(categories) from shop.customer_stats") == [
        (2, 30, ["tea"])
    ]


def test_a_day_already_done_returns_its_counts(settings: Settings, engine: Engine, files: Path) -> None:
    write_day(files, orders=[order("1")])
    first = sync.sync(Shop(settings, engine), "demo_shop", DAY)
    landed = rows(engine, "select landed_at from landing.loads")
    assert sync.sync(Shop(settings, engine), "demo_shop", DAY) == first
    assert rows(engine, "select landed_at from landing.loads") == landed


def test_a_day_done_stays_done_when_its_files_are_cleared_away(settings: Settings, engine: Engine, files: Path) -> None:
    here = write_day(files, orders=[order("1")])
    first = sync.sync(Shop(settings, engine), "demo_shop", DAY)
    (here / "_COMPLETE").unlink()
    (here / "orders.csv").unlink()
    assert sync.sync(Shop(settings, engine), "demo_shop", DAY) == first


def test_changed_files_of_a_done_day_are_published_again(settings: Settings, engine: Engine, files: Path) -> None:
    write_day(files, orders=[order("1")])
    sync.sync(Shop(settings, engine), "demo_shop", DAY)
    write_day(files, orders=[order("1"), order("2")])
    counts = sync.sync(Shop(settings, engine), "demo_shop", DAY)
    assert (counts.orders_inserted, counts.orders_unchanged, counts.customers_touched) == (1, 1, 1)


def test_skipped_days_are_caught_up_in_order(settings: Settings, engine: Engine, files: Path) -> None:
    for number in range(4):
        day = DAY + timedelta(days=number)
        write_day(files, day, orders=[order(f"{number}", day=day)])
    sync.sync(Shop(settings, engine), "demo_shop", DAY)
    sync.sync(Shop(settings, engine), "demo_shop", DAY + timedelta(days=3))
    done = rows(engine, "select day, state from shop.days where stage = 'orders' order by recorded_at")
    assert done == [(DAY + timedelta(days=number), "done") for number in range(4)]


def test_a_day_without_files_stops_the_days_after_it(settings: Settings, engine: Engine, files: Path) -> None:
    write_day(files, orders=[order("1")])
    sync.sync(Shop(settings, engine), "demo_shop", DAY)
    later = DAY + timedelta(days=2)
    write_day(files, later, orders=[order("2", day=later)])
    with pytest.raises(NotReady, match=f"{NEXT} is not complete"):
        sync.sync(Shop(settings, engine), "demo_shop", later)
    assert rows(engine, "select day, state from shop.days order by 1") == [(DAY, "done"), (NEXT, "failed")]


def test_a_day_before_the_newest_cannot_be_synced(settings: Settings, engine: Engine, files: Path) -> None:
    for day in (DAY, NEXT):
        write_day(files, day, orders=[order(str(day), day=day)])
    sync.sync(Shop(settings, engine), "demo_shop", NEXT)
    with pytest.raises(StateError, match="retention load"):
        sync.sync(Shop(settings, engine), "demo_shop", DAY)


def test_a_source_without_days_cannot_be_synced(settings: Settings, engine: Engine) -> None:
    with pytest.raises(InputError, match="retention load --source cdnow"):
        sync.sync(Shop(settings, engine), "cdnow", DAY)


def test_the_steps_for_the_scheduler_give_the_same(settings: Settings, engine: Engine, files: Path) -> None:
    write_day(files, orders=[order("1")], lines=[line("1")])
    assert sync.catch_up(Shop(settings, engine), "demo_shop", DAY) == {"caught_up": []}
    with pytest.raises(StateError):
        sync.publish(Shop(settings, engine), "demo_shop", DAY)
    assert sync.land(Shop(settings, engine), "demo_shop", DAY) == {"orders": 1, "order_lines": 1}
    with pytest.raises(StateError, match="not passed validation"):
        sync.publish(Shop(settings, engine), "demo_shop", DAY)
    assert sync.validate(Shop(settings, engine), "demo_shop", DAY) == {"orders": 0, "order_lines": 0}
    counts = sync.publish(Shop(settings, engine), "demo_shop", DAY)
    assert (
        counts
        == sync.publish(Shop(settings, engine), "demo_shop", DAY)
        == sync.sync(Shop(settings, engine), "demo_shop", DAY)
    )
    assert counts.orders_inserted == 1


def test_a_status_change_keeps_the_version_before(settings: Settings, engine: Engine, files: Path) -> None:
    write_day(files, orders=[order("1", status="pending")])
    sync.sync(Shop(settings, engine), "demo_shop", DAY)
    write_day(files, NEXT, orders=[order("1", updated_at=f"{NEXT}T09:00:00+01:00")])
    counts = sync.sync(Shop(settings, engine), "demo_shop", NEXT)
    assert (counts.orders_updated, counts.customers_touched) == (1, 1)
    known = "cast(known_at at time zone 'Europe/Amsterdam' as text)"
    superseded = known.replace("known_at", "superseded_at")
    assert rows(engine, f"select status, {known}, {superseded} from shop.orders_history") == [
        ("pending", "2026-11-03 00:00:00", "2026-11-04 00:00:00")
    ]
    assert rows(engine, "select status from shop.orders") == [("complete",)]
    assert rows(engine, "select complete_orders from shop.customer_stats") == [(1,)]


def test_an_older_version_never_overwrites_a_newer_one(settings: Settings, engine: Engine, files: Path) -> None:
    write_day(files, orders=[order("1", updated_at=f"{DAY}T15:00:00+01:00")])
    sync.sync(Shop(settings, engine), "demo_shop", DAY)
    write_day(files, NEXT, orders=[order("1", status="pending")])
    counts = sync.sync(Shop(settings, engine), "demo_shop", NEXT)
    assert (counts.orders_unchanged, counts.customers_touched) == (1, 0)
    assert rows(engine, "select status from shop.orders") == [("complete",)]
    assert rows(engine, "select count(*) from shop.orders_history") == [(0,)]


def test_of_several_rows_of_an_order_in_a_file_the_newest_counts(
    settings: Settings, engine: Engine, files: Path
) -> None:
    later = f"{DAY}T18:00:00+01:00"
    write_day(
        files, orders=[order("1", status="cancelled", updated_at=later), order("1", status="pending"), order("1")]
    )
    counts = sync.sync(Shop(settings, engine), "demo_shop", DAY)
    assert (counts.accepted, counts.orders_inserted, counts.rejected) == (3, 1, 0)
    assert rows(engine, "select status from shop.orders") == [("cancelled",)]
    assert rows(engine, "select count(*) from shop.orders_history") == [(0,)]


def test_the_same_content_under_a_later_date_touches_nobody(settings: Settings, engine: Engine, files: Path) -> None:
    write_day(files, orders=[order("1")])
    sync.sync(Shop(settings, engine), "demo_shop", DAY)
    write_day(files, NEXT, orders=[order("1", updated_at=f"{NEXT}T09:00:00+01:00")])
    assert sync.sync(Shop(settings, engine), "demo_shop", NEXT).customers_touched == 0
    third = NEXT + timedelta(days=1)
    write_day(files, third, orders=[order("1", status="pending", updated_at=f"{NEXT}T08:00:00+01:00")])
    assert sync.sync(Shop(settings, engine), "demo_shop", third).orders_unchanged == 1
    assert rows(engine, "select status, count(*) from shop.order_versions group by 1") == [("complete", 1)]


def test_the_newest_landing_of_an_order_replaces_its_lines(settings: Settings, engine: Engine, files: Path) -> None:
    write_day(files, orders=[order("1")], lines=[line("1"), line("1", 2, sku="CUP")])
    sync.sync(Shop(settings, engine), "demo_shop", DAY)
    write_day(files, NEXT, lines=[line("1", category="gifts")], orders=[order("2", "C2", NEXT)])
    assert sync.sync(Shop(settings, engine), "demo_shop", NEXT).customers_touched == 2
    assert rows(engine, "select line_no, category from shop.order_lines") == [(1, "gifts")]
    assert rows(engine, "select categories from shop.customer_stats order by orders_count, categories desc") == [
        (["gifts"],),
        ([],),
    ]


def test_lines_of_an_older_landing_do_not_come_back(settings: Settings, engine: Engine, files: Path) -> None:
    write_day(files, orders=[order("1")], lines=[line("1", sku="OLD")])
    sync.sync(Shop(settings, engine), "demo_shop", DAY)
    write_day(files, NEXT, orders=[order("3", "C3", NEXT)], lines=[line("1", sku="NEW")])
    sync.sync(Shop(settings, engine), "demo_shop", NEXT)
    write_day(files, orders=[order("1"), order("2")], lines=[line("1", sku="OLD")])
    sync.sync(Shop(settings, engine), "demo_shop", DAY)
    assert rows(engine, "select product_ref from shop.order_lines") == [("NEW",)]


def test_a_withdrawn_consent_is_a_new_version(settings: Settings, engine: Engine, files: Path) -> None:
    write_day(files, orders=[order("1")], consents=[consent("C1")])
    sync.sync(Shop(settings, engine), "demo_shop", DAY)
    gone = consent("C1", NEXT, granted="no")
    write_day(files, NEXT, orders=[order("2", day=NEXT)], consents=[gone], customers=[customer("C1", first_name="Jo")])
    sync.sync(Shop(settings, engine), "demo_shop", NEXT)
    assert rows(engine, "select is_granted from shop.consents") == [(False,)]
    assert rows(engine, "select is_granted from shop.consents_history") == [(True,)]
    assert rows(engine, "select first_name from shop.customer_versions order by known_at") == [(None,), ("Jo",)]


def test_the_consent_ledger_keeps_who_agreed_to_what_when_where_and_on_what_ground(
    settings: Settings, engine: Engine, files: Path
) -> None:
    write_day(files, orders=[order("1")], consents=[consent("C1", basis="soft_opt_in"), consent("C2", basis="")])
    sync.sync(Shop(settings, engine), "demo_shop", DAY)
    again = consent("C1", NEXT, origin="account", text_version="2026-11")
    write_day(files, NEXT, orders=[order("2", day=NEXT)], consents=[again])
    sync.sync(Shop(settings, engine), "demo_shop", NEXT)
    ledger = (
        "select customer_ref, purpose, channel, basis, origin, text_version, extract(day from v.updated_at)"
        " from shop.consent_versions as v inner join shop.customers using (customer_id) order by customer_ref, 7"
    )
    assert rows(engine, ledger) == [
        ("C1", "marketing", "email", "soft_opt_in", "checkout", "2025-01", 2),
        ("C1", "marketing", "email", "consent", "account", "2026-11", 3),
        ("C2", "marketing", "email", "consent", "checkout", "2025-01", 2),
    ]


def test_orders_in_another_currency_use_the_rate_of_their_day(settings: Settings, engine: Engine, files: Path) -> None:
    write_day(files, orders=[order("1", currency="GBP", total="100.00", refunded="10.00"), order("2", currency="XYZ")])
    counts = sync.sync(Shop(settings, engine), "demo_shop", DAY)
    assert (counts.rejected, counts.orders_inserted) == (1, 1)
    assert rows(engine, "select round(total_reporting, 0), round(refunded_reporting, 0) from shop.orders") == [
        (118, 12)
    ]
    assert rows(engine, "select rule, value from landing.rejections") == [("no_rate", f"XYZ on {DAY}")]


def test_a_history_keeps_each_version_with_the_day_it_was_known(
    settings: Settings, engine: Engine, files: Path
) -> None:
    for number, status in enumerate(("pending", "complete", "complete", "refunded")):
        day = DAY + timedelta(days=number)
        write_day(files, day, orders=[order("1", status=status, updated_at=f"{day}T12:30:00+01:00")])
    counts = sync.load(Shop(settings, engine), "demo_shop", str(files))
    assert (counts.landed, counts.orders_inserted) == (4, 1)
    versions = (
        "select status, cast(known_at at time zone 'Europe/Amsterdam' as date) from shop.order_versions order by 2"
    )
    expected = [("pending", NEXT), ("complete", NEXT + timedelta(days=1)), ("refunded", NEXT + timedelta(days=3))]
    assert rows(engine, versions) == expected
    assert rows(engine, "select day from shop.days") == [(NEXT + timedelta(days=2),)]
    again = sync.load(Shop(settings, engine), "demo_shop", str(files))
    assert (again.orders_unchanged, again.customers_touched) == (1, 0)
    assert rows(engine, versions) == expected


def test_days_and_one_history_leave_the_same_versions(settings: Settings, engine: Engine, files: Path) -> None:
    statuses = {"1": ("pending", "complete", "refunded"), "2": ("complete", "complete", "cancelled")}
    for number in range(3):
        day = DAY + timedelta(days=number)
        at = f"{day}T12:30:00+01:00"
        write_day(
            files,
            day,
            orders=[order(ref, f"C{ref}", status=those[number], updated_at=at) for ref, those in statuses.items()],
        )
        sync.sync(Shop(settings, engine), "demo_shop", day)
    versions = "select order_ref, status, known_at, cast(superseded_at as text) from shop.order_versions order by 1, 3"
    by_days = rows(engine, versions)
    assert sync.load(Shop(settings, engine), "demo_shop", str(files)).customers_touched == 0
    assert rows(engine, versions) == by_days
    with engine.begin() as connection:
        for table in ("orders", "orders_history", "customers", "customer_stats", "days", "changes"):
            connection.execute(text(f"delete from shop.{table}"))
    sync.load(Shop(settings, engine), "demo_shop", str(files))
    assert rows(engine, versions) == by_days


def test_one_reading_of_a_year_ago_is_what_was_known_then(settings: Settings, engine: Engine, files: Path) -> None:
    late = order("1", day=date(2025, 11, 1), updated_at="2025-11-01T12:00:00+01:00")
    write_day(files, orders=[late, order("2", "C2")])
    sync.sync(Shop(settings, engine), "demo_shop", DAY)
    known = "select count(*) from shop.order_versions where order_ref = '1' and known_at <= :at and :at < superseded_at"
    assert rows(engine, known, at="2026-11-02 00:00+01") == [(0,)]  # found late: not known before
    assert rows(engine, known, at="2026-11-03 00:00+01") == [(1,)]
