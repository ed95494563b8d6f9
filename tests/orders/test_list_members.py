"""Who is on which list, and since when: the feed `list_members`."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from shop_files import DAY, member, order, write_day
from sqlalchemy import Engine, text

from retention.core import days
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.orders import sync
from retention.orders.publishing import SyncCounts

NEXT = DAY + timedelta(days=1)
MEMBERS = (
    "select c.customer_ref, m.list, cast(m.since at time zone 'UTC' as date), cast(m.until at time zone 'UTC' as date)"
    " from shop.list_members as m inner join shop.customers as c using (customer_id) order by 1, 2"
)
VERSIONS = (
    "select cast(until at time zone 'UTC' as date), cast(known_at at time zone 'Europe/Amsterdam' as date)"
    " from shop.list_member_versions order by known_at"
)


def rows(engine: Engine, statement: str, **values: Any) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement), values)]


class Till:
    """The demo shop, whose days have one order each beside what is given."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self.shop = Shop(settings, engine)

    def day(self, day: date, *list_members: dict[str, str]) -> SyncCounts:
        folder = self.shop.settings.local / "demo_shop"
        write_day(folder, day, orders=[order(f"{day}", "C0", day)], list_members=list(list_members))
        return sync.sync(self.shop, "demo_shop", day)


@pytest.fixture
def till(settings: Settings, engine: Engine) -> Till:
    return Till(settings, engine)


def test_a_member_is_a_customer_with_a_changed_fact(till: Till, engine: Engine) -> None:
    assert till.day(DAY, member("C1"), member("C1", list="vip_club")).customers_touched == 2
    assert rows(engine, MEMBERS) == [("C1", "newsletter", DAY, None), ("C1", "vip_club", DAY, None)]
    assert rows(engine, "select what from shop.changes where 'list_members' = any(what)") == [
        (["customers", "list_members"],)
    ]


def test_whoever_leaves_was_on_the_list_until_then_and_is_known_as_a_member_before(till: Till, engine: Engine) -> None:
    till.day(DAY, member("C1"))
    gone = member("C1", until=f"{NEXT}T10:00:00+01:00")
    assert till.day(NEXT, gone).customers_touched == 2
    assert rows(engine, MEMBERS) == [("C1", "newsletter", DAY, NEXT)]
    assert rows(engine, VERSIONS) == [(None, NEXT), (NEXT, NEXT + timedelta(days=1))]


def test_the_same_rows_once_more_touch_nobody(till: Till, engine: Engine) -> None:
    till.day(DAY, member("C1"))
    assert till.day(NEXT, member("C1")).customers_touched == 1  # by the day's order
    assert rows(engine, VERSIONS) == [(None, NEXT)]


def test_an_older_row_never_overwrites_a_newer_one(till: Till, engine: Engine) -> None:
    till.day(DAY, member("C2"))
    till.day(NEXT, member("C1", until=f"{NEXT}T10:00:00+01:00"))
    till.day(DAY, member("C2"), member("C1"))
    assert rows(engine, MEMBERS)[0] == ("C1", "newsletter", DAY, NEXT)


def test_what_the_file_of_a_day_tells_was_not_known_before(till: Till, engine: Engine) -> None:
    till.day(DAY, member("C1", DAY - timedelta(days=9)))
    assert rows(engine, VERSIONS) == [(None, NEXT)]


def test_who_returns_is_on_the_list_anew(till: Till, engine: Engine) -> None:
    till.day(DAY, member("C1", DAY - timedelta(days=9), until=f"{DAY}T10:00:00+01:00"), member("C1"))
    assert rows(engine, MEMBERS) == [("C1", "newsletter", DAY, None)]


BAD = [  # the rule that a row breaks, and how
    ("customer_is_present", {"customer_id": ""}),
    ("list_is_named", {"list": ""}),
    ("list_is_named", {"list": "  "}),
    ("list_is_named", {"list": "x" * 101}),
    ("since_is_a_time", {"since": "soon"}),
    ("since_is_a_time", {"since": ""}),
    ("since_is_a_time", {"since": "2026-11-02T11:00:00"}),
    ("until_is_a_time", {"until": "31/12/2026"}),
    ("until_before_since", {"until": "2026-11-02T10:59:59+01:00"}),
    ("in_the_future", {"since": "2026-12-02T11:00:00+01:00"}),
    ("too_long_ago", {"since": "1969-12-02T11:00:00+01:00"}),
]


def test_rows_that_say_no_membership_are_rejected_and_the_rest_published(till: Till, engine: Engine) -> None:
    good = [member(f"C{number}") for number in range(30 * len(BAD))]  # so that the bad ones are few
    till.day(DAY, *good, *(member("X", **changes) for _, changes in BAD))
    assert rows(engine, "select rule from landing.rejections order by row_no") == [(rule,) for rule, _ in BAD]
    assert rows(engine, "select count(*) from shop.list_members") == [(len(good),)]


def test_a_membership_may_end_where_it_begins_or_at_a_day_to_come(till: Till, engine: Engine) -> None:
    never, paid = member("C1", until=f"{DAY}T11:00:00+01:00"), member("C2", until="2027-11-02T11:00:00+01:00")
    assert till.day(DAY, never, paid).rejected == 0
    assert [row[3] for row in rows(engine, MEMBERS)] == [DAY, date(2027, 11, 2)]


SOURCE = """
name: club
about: Who was in a club, as its books say.
namespace: club
daily: false
feeds:
  orders:
    path: orders.csv
    format: csv
    columns: [order_id, customer_id, created_at, status, total, refunded, currency, coupon, store, updated_at]
    suite: demo_shop_orders
    mapping: demo_shop_orders
  list_members:
    path: members.jsonl
    format: jsonl
    columns: [customer_id, list, since, until]
    suite: demo_shop_list_members
    mapping: demo_shop_list_members
"""


def test_in_a_history_a_member_who_left_is_known_as_one_from_the_day_they_came(
    settings: Settings, engine: Engine, tmp_path: Path
) -> None:
    include = tmp_path / "include"
    shutil.copytree(settings.include, include)
    (include / "sources" / "club.yaml").write_text(SOURCE)
    books = tmp_path / "books"
    (write_day(books, orders=[order("1")]) / "orders.csv").rename(books / "orders.csv")
    stints = [
        ("2026-03-01T11:00:00+01:00", "2026-05-01T11:00:00+01:00"),
        ("2026-08-01T11:00:00+01:00", "2026-09-01T11:00:00+01:00"),
        ("2026-09-01T12:00:00+01:00", ""),
    ]
    members = [member("C1", since=since, until=until) for since, until in stints]
    members.append(member("C2", list="vip_club", until="2027-11-02T11:00:00+01:00"))
    (books / "members.jsonl").write_text("".join(json.dumps(row) + "\n" for row in members))
    shop = Shop(settings.evolve(include=include), engine)
    counts = [sync.load(shop, "club", str(books), at=datetime(2026, 11, 3, tzinfo=UTC)) for _ in range(2)]
    assert [(each.landed, each.accepted, each.customers_touched) for each in counts] == [(5, 5, 2), (5, 5, 0)]

    def as_of(day: date) -> int:
        known_by = days.known_at(day, settings.shop_time_zone)
        (found,) = rows(
            engine,
            "select count(*) from shop.list_member_versions where known_at <= :at and superseded_at > :at"
            " and list = 'newsletter' and since < :at and coalesce(until, 'infinity') > :at",
            at=known_by,
        )[0]
        return int(found)

    assert [as_of(date(2026, month, 1)) for month in range(2, 11)] == [0, 1, 1, 0, 0, 0, 1, 1, 1]
    assert rows(engine, VERSIONS) == [
        (None, date(2026, 3, 2)),
        (date(2026, 5, 1), date(2026, 5, 2)),
        (None, date(2026, 8, 2)),
        (None, date(2026, 9, 2)),  # left and came back within a day
        (date(2027, 11, 2), NEXT),
    ]
