"""Instants that cannot be: what happened lies neither in the future nor in another age, whichever source says so."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from shop_files import DAY, consent, customer, line, order, write_day
from sqlalchemy import Engine, text

from retention.cli import console as cli
from retention.core import database
from retention.core.errors import ExpectationFailed, InputError
from retention.core.settings import Settings, from_environment
from retention.core.shop import Shop
from retention.orders import sync

NEXT = DAY + timedelta(days=1)
KNOWN = datetime(2026, 11, 2, 23, tzinfo=UTC)  # the midnight that ends DAY in Amsterdam
YEAR_9999 = "9999-12-31T23:59:59+00:00"
YEAR_1 = "0001-01-01T00:00:00+00:00"


def rows(engine: Engine, statement: str, **values: Any) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement), values)]


def rejected(engine: Engine) -> list[tuple[Any, ...]]:
    return rows(engine, "select row_no, rule from landing.rejections order by 1, 2")


def corrected(engine: Engine) -> list[tuple[Any, ...]]:
    return rows(engine, "select row_no, rule, taken_at from landing.corrections order by 1, 2")


def consents(engine: Engine) -> list[tuple[Any, ...]]:
    return rows(
        engine,
        "select customer_ref, is_granted, v.updated_at from shop.consents as v"
        " inner join shop.customers using (customer_id) order by 1",
    )


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return tmp_path / "demo_shop"


@pytest.mark.parametrize(
    ("at", "rule"),
    [
        (YEAR_9999, "in_the_future"),
        ("2026-11-04T00:00:00+01:00", "in_the_future"),
        ("1989-12-31T23:59:59+01:00", "too_long_ago"),
        (YEAR_1, "too_long_ago"),
        ("0044-03-15T12:00:00+00:00 BC", "created_at_is_a_time"),
        ("infinity", "created_at_is_a_time"),
        ("294276-12-31T00:00:00Z", "created_at_is_a_time"),
    ],
)
def test_an_order_dated_in_the_future_or_long_ago_is_rejected(
    settings: Settings, engine: Engine, files: Path, at: str, rule: str
) -> None:
    write_day(files, orders=[order("1"), order("2", created_at=at), order("3", customer="C3")])
    counts = sync.sync(Shop(settings, engine), "demo_shop", DAY)
    assert (counts.accepted, counts.rejected, counts.orders_inserted) == (2, 1, 2)
    assert rejected(engine) == [(2, rule)]
    assert rows(engine, "select value from landing.rejections where value is null") == []


def test_an_order_one_day_ahead_is_kept_and_one_two_days_ahead_is_rejected(
    settings: Settings, engine: Engine, files: Path
) -> None:
    times = ["2026-11-03T23:59:59+01:00", "2026-11-04T00:00:00+01:00", "1990-01-01T00:00:00+01:00"]
    write_day(files, orders=[order(f"{n}", created_at=at) for n, at in enumerate(times, start=1)])
    sync.sync(Shop(settings, engine), "demo_shop", DAY)
    assert rejected(engine) == [(2, "in_the_future")]
    assert rows(engine, "select order_ref from shop.orders order by 1") == [("1",), ("3",)]


def test_the_oldest_order_that_can_be_is_a_setting(engine: Engine, settings: Settings, files: Path) -> None:
    environment = {
        "RETENTION_DATABASE_URL": str(settings.database_url),
        "RETENTION_LOCAL": str(settings.local),
        "RETENTION_ORDERS_SINCE": "2020-01-01",
    }
    times = ["2019-12-31T23:59:59+01:00", "2020-01-01T00:00:00+01:00"]
    write_day(files, orders=[order("now"), *(order(at, created_at=at) for at in times)])
    sync.sync(Shop(from_environment(environment), engine), "demo_shop", DAY)
    assert rejected(engine) == [(2, "too_long_ago")]
    with pytest.raises(InputError, match="RETENTION_ORDERS_SINCE is 'yore'; write a day"):
        from_environment({**environment, "RETENTION_ORDERS_SINCE": "yore"})


@pytest.mark.parametrize(("at", "rule"), [(YEAR_9999, "changed_in_the_future"), (YEAR_1, "too_long_ago")])
def test_an_order_changed_in_the_future_or_long_ago_is_rejected(
    settings: Settings, engine: Engine, files: Path, at: str, rule: str
) -> None:
    write_day(files, orders=[order("1"), order("2", updated_at=at)])
    sync.sync(Shop(settings, engine), "demo_shop", DAY)
    assert rejected(engine) == [(2, rule)]


@pytest.mark.parametrize("at", [f"{DAY}T18:00:00+01:00", f"{DAY}T23:59:59+01:00", f"{DAY}T00:00:00+01:00"])
@pytest.mark.parametrize("file_of_no", [DAY, NEXT])
def test_a_withdrawal_of_the_day_wins_over_a_grant_dated_after_the_landing(
    settings: Settings, engine: Engine, files: Path, at: str, file_of_no: date
) -> None:
    yes, no = consent("C1", changed_at=f"{NEXT}T10:00:00+01:00"), consent("C1", granted="no", changed_at=at)
    write_day(files, orders=[order("1")], consents=[yes, no] if file_of_no == DAY else [yes])
    write_day(files, NEXT, orders=[order("2", day=NEXT)], consents=[no] if file_of_no == NEXT else [])
    for day in (DAY, NEXT):
        sync.sync(Shop(settings, engine), "demo_shop", day)
    assert [(ref, granted) for ref, granted, _ in consents(engine)] == [("C1", False)]


@pytest.mark.parametrize(
    "written",
    [{"basis": "legitimate_interest"}, {"channel": "Email"}, {"granted": "No"}, {"granted": " NO ", "basis": "?"}],
)
def test_a_withdrawal_is_understood_however_its_other_columns_are_written(
    settings: Settings, engine: Engine, files: Path, written: dict[str, str]
) -> None:
    write_day(files, orders=[order("1")], consents=[consent("C1")])
    sync.sync(Shop(settings, engine), "demo_shop", DAY)
    no = consent("C1", NEXT, **{"granted": "no", **written})
    write_day(files, NEXT, orders=[order("2", day=NEXT)], consents=[no])
    assert sync.sync(Shop(settings, engine), "demo_shop", NEXT).rejected == 0
    assert [(ref, granted) for ref, granted, _ in consents(engine)] == [("C1", False)]


def test_a_load_refuses_a_day_that_is_not_over_and_publishes_nothing(
    settings: Settings, engine: Engine, files: Path
) -> None:
    ahead = date(2199, 1, 1)
    write_day(files, ahead, orders=[order("1", day=ahead)], consents=[consent("C1", ahead)])
    for until, path in ((None, files), (ahead, write_day(files.parent / "other", orders=[order("1")]).parent)):
        with pytest.raises(InputError, match="2199-01-01 is not over"):
            sync.load(Shop(settings, engine), "demo_shop", str(path), until=until)
    assert not rows(engine, "select day from shop.days")


@pytest.mark.parametrize(
    ("at", "rule"),
    [
        (YEAR_9999, "changed_in_the_future"),
        ("2026-11-04T00:00:00+01:00", "changed_in_the_future"),
        ("1969-12-31T23:59:59+00:00", "too_long_ago"),
        (YEAR_1, "too_long_ago"),
    ],
)
def test_a_consent_dated_in_the_future_or_long_ago_is_rejected(
    settings: Settings, engine: Engine, files: Path, at: str, rule: str
) -> None:
    write_day(files, orders=[order("1")], consents=[consent("C1", changed_at=at), consent("C2")])
    counts = sync.sync(Shop(settings, engine), "demo_shop", DAY)
    assert (counts.accepted, counts.rejected, counts.corrected) == (2, 1, 0)
    assert rejected(engine) == [(1, rule)]
    assert [(ref, granted) for ref, granted, _ in consents(engine)] == [("C2", True)]


def test_a_later_no_ends_a_yes_whose_clock_ran_ahead(settings: Settings, engine: Engine, files: Path) -> None:
    yes = consent("C1", changed_at=f"{NEXT}T20:00:00+01:00")
    write_day(files, orders=[order("1")], consents=[yes])
    sync.sync(Shop(settings, engine), "demo_shop", DAY)
    assert [(ref, granted) for ref, granted, _ in consents(engine)] == [("C1", True)]
    no = consent("C1", granted="no", changed_at=f"{NEXT}T09:00:00+01:00")
    write_day(files, NEXT, orders=[order("2", day=NEXT)], consents=[no])
    sync.sync(Shop(settings, engine), "demo_shop", NEXT)
    assert [(ref, granted) for ref, granted, _ in consents(engine)] == [("C1", False)]


def test_a_later_version_of_an_order_replaces_one_whose_clock_ran_ahead(
    settings: Settings, engine: Engine, files: Path
) -> None:
    write_day(files, orders=[order("1", updated_at=f"{NEXT}T01:00:00+01:00")])  # an hour after it landed
    sync.sync(Shop(settings, engine), "demo_shop", DAY)
    later = order("1", status="cancelled", updated_at=f"{NEXT}T00:30:00+01:00")
    write_day(files, NEXT, orders=[later, order("2", day=NEXT)])
    sync.sync(Shop(settings, engine), "demo_shop", NEXT)
    assert rows(engine, "select status, updated_at from shop.orders where order_ref = '1'") == [
        ("cancelled", KNOWN + timedelta(minutes=30))
    ]


@pytest.mark.parametrize(
    ("at", "rule"),
    [
        (YEAR_9999, "changed_in_the_future"),
        ("2026-11-04T00:00:00+01:00", "changed_in_the_future"),
        (YEAR_1, "too_long_ago"),
        ("31/02/2026 25:00", "without_a_time"),
        ("infinity", "without_a_time"),
        ("tomorrow", "without_a_time"),
        ("", "without_a_time"),
    ],
)
def test_a_withdrawal_with_a_wrong_clock_is_taken_at_the_landing_and_reported(
    settings: Settings, engine: Engine, files: Path, at: str, rule: str
) -> None:
    changed = [consent("C1"), consent("C1", granted="no", changed_at=at), consent("C1", changed_at=f"{NEXT}T09:00:00Z")]
    write_day(files, orders=[order("1")], consents=changed)
    counts = sync.sync(Shop(settings, engine), "demo_shop", DAY)
    assert (counts.accepted, counts.rejected, counts.corrected) == (4, 0, 1)
    assert consents(engine) == [("C1", False, KNOWN)]
    assert corrected(engine) == [(2, rule, KNOWN)]
    yes = consent("C1", changed_at=f"{NEXT}T10:00:00+01:00")
    write_day(files, NEXT, orders=[order("2", day=NEXT)], consents=[yes])
    sync.sync(Shop(settings, engine), "demo_shop", NEXT)
    assert [granted for _, granted, _ in consents(engine)] == [True]  # agreed to again, later


@pytest.mark.parametrize("status", ["cancelled", "refunded"])
@pytest.mark.parametrize("at", [YEAR_9999, YEAR_1])
def test_a_cancellation_with_a_wrong_clock_is_taken_at_the_landing_and_reported(
    settings: Settings, engine: Engine, files: Path, at: str, status: str
) -> None:
    write_day(files, orders=[order("1")])
    sync.sync(Shop(settings, engine), "demo_shop", DAY)
    write_day(files, NEXT, orders=[order("1", status=status, updated_at=at), order("2", day=NEXT)])
    counts = sync.sync(Shop(settings, engine), "demo_shop", NEXT)
    assert (counts.rejected, counts.corrected, counts.orders_updated) == (0, 1, 1)
    landed = KNOWN + timedelta(days=1)
    assert rows(engine, "select status, updated_at from shop.orders where order_ref = '1'") == [(status, landed)]
    assert [row[2] for row in corrected(engine)] == [landed]
    write_day(files, orders=[order("1"), order("3")])  # the older file again: the order stays cancelled
    sync.sync(Shop(settings, engine), "demo_shop", DAY)
    assert rows(engine, "select status from shop.orders where order_ref = '1'") == [(status,)]


@pytest.mark.parametrize("at", [YEAR_9999, YEAR_1, "1975-01-01T00:00:00Z"])
def test_a_cancelled_order_of_an_impossible_day_keeps_the_day_that_is_known(
    settings: Settings, engine: Engine, files: Path, at: str
) -> None:
    write_day(files, orders=[order("1", currency="GBP")])
    sync.sync(Shop(settings, engine), "demo_shop", DAY)
    known = "select ordered_at, ordered_on, total_reporting from shop.orders where order_ref = '1'"
    before = rows(engine, known)
    no = {"status": "cancelled", "created_at": at, "updated_at": f"{NEXT}T09:00:00+01:00", "currency": "GBP"}
    write_day(
        files,
        NEXT,
        orders=[
            order("1", **no),
            order("2", day=NEXT, currency="GBP"),
            order("2", **{**no, "updated_at": f"{NEXT}T19:00:00+01:00"}),
            order("nobody knows it", **no),
        ],
    )
    counts = sync.sync(Shop(settings, engine), "demo_shop", NEXT)
    assert (counts.accepted, counts.rejected, counts.corrected) == (3, 1, 2)
    assert rows(engine, known) == before
    assert rows(engine, "select order_ref, status, ordered_on from shop.orders order by 1") == [
        ("1", "cancelled", DAY),
        ("2", "cancelled", NEXT),
    ]
    assert [number for number, _ in rejected(engine)] == [4]


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"updated_at": YEAR_9999}, "changed_in_the_future"),
        ({"updated_at": YEAR_1}, "too_long_ago"),
        ({"registered_at": YEAR_9999}, "registered_in_the_future"),
        ({"registered_at": YEAR_1}, "too_long_ago"),
    ],
)
def test_a_customer_changed_or_registered_in_the_future_is_rejected(
    settings: Settings, engine: Engine, files: Path, changes: dict[str, str], rule: str
) -> None:
    write_day(files, orders=[order("1")], customers=[customer("C1"), customer("C1", phone="+31600000000", **changes)])
    assert sync.sync(Shop(settings, engine), "demo_shop", DAY).rejected == 1
    assert rejected(engine) == [(2, rule)]
    assert rows(engine, "select phone from shop.customers") == [(None,)]


@pytest.mark.parametrize("first", ["yes", "no"])
def test_a_withdrawal_wins_over_a_grant_of_the_same_instant_in_one_load(
    settings: Settings, engine: Engine, files: Path, first: str
) -> None:
    words = [first, "no" if first == "yes" else "yes"]
    write_day(files, orders=[order("1")], consents=[consent("C1", granted=word) for word in words])
    sync.sync(Shop(settings, engine), "demo_shop", DAY)
    assert [granted for _, granted, _ in consents(engine)] == [False]
    assert rows(engine, "select is_granted from shop.consents_history") == []


@pytest.mark.parametrize("first", ["yes", "no"])
def test_a_withdrawal_wins_over_a_grant_of_the_same_instant_across_loads(
    settings: Settings, engine: Engine, files: Path, first: str
) -> None:
    words = [first, "no" if first == "yes" else "yes"]
    for number, word in enumerate(words):
        day = DAY + timedelta(days=number)
        write_day(files, day, orders=[order(f"{number}", day=day)], consents=[consent("C1", DAY, granted=word)])
        sync.sync(Shop(settings, engine), "demo_shop", day)
    versions = "select is_granted, known_at from shop.consent_versions order by known_at"
    expected = [(False, KNOWN)] if first == "no" else [(True, KNOWN), (False, KNOWN + timedelta(days=1))]
    assert rows(engine, versions) == expected
    assert sync.load(Shop(settings, engine), "demo_shop", str(files)).customers_touched == 0
    assert rows(engine, versions) == expected


def test_loading_a_wrong_clock_twice_touches_nobody(settings: Settings, engine: Engine, files: Path) -> None:
    no = consent("C1", granted="no", changed_at=YEAR_9999)
    gone = order("2", status="cancelled", updated_at=YEAR_9999)
    write_day(files, orders=[order("1"), gone, order("3", created_at=YEAR_9999)], consents=[no])
    first = sync.load(Shop(settings, engine), "demo_shop", str(files))
    assert (first.rejected, first.corrected) == (1, 2)
    again = sync.load(Shop(settings, engine), "demo_shop", str(files))
    assert again == replace(first, orders_inserted=0, orders_unchanged=2, customers_touched=0)
    assert len(rejected(engine)) == 1
    assert len(corrected(engine)) == 2


def _cdnow(tmp_path: Path, *days: str) -> str:
    path = tmp_path / "CDNOW_sample.txt"
    path.write_text("".join(f" {number:05d} {number:04d} {day}  1   11.77\n" for number, day in enumerate(days)))
    return str(path)


def test_a_history_without_days_is_bound_by_the_instant_of_its_load(
    settings: Settings, engine: Engine, tmp_path: Path
) -> None:
    path = _cdnow(tmp_path, "19970101", "20261126", "20261128", "19891231", "infinity", "tomorrow", "99991231")
    at = datetime(2026, 11, 25, 12, tzinfo=UTC)
    counts = sync.load(Shop(settings, engine), "cdnow", path, at=at)
    assert (counts.accepted, counts.rejected) == (2, 5)
    assert rejected(engine) == [
        (3, "in_the_future"),
        (4, "too_long_ago"),
        (5, "date_is_a_day"),
        (6, "date_is_a_day"),
        (7, "in_the_future"),
    ]


def test_a_history_without_days_is_bound_by_the_day_that_is_said_to_be_its_last(
    settings: Settings, engine: Engine, tmp_path: Path
) -> None:
    path = _cdnow(tmp_path, "19970101", "19980701", "19980702")
    assert sync.load(Shop(settings, engine), "cdnow", path, until=date(1998, 6, 30)).accepted == 2
    assert rejected(engine) == [(3, "in_the_future")]


def test_the_day_in_a_files_path_bounds_its_rows_in_a_history_too(
    settings: Settings, engine: Engine, files: Path
) -> None:
    write_day(files, orders=[order("1"), order("2", created_at="2026-11-05T10:00:00+01:00")])
    write_day(files, NEXT, orders=[order("3", day=NEXT), order("4", created_at="2026-11-04T10:00:00+01:00")])
    counts = sync.load(Shop(settings, engine), "demo_shop", str(files), until=date(2026, 11, 20))
    assert (counts.accepted, counts.rejected) == (3, 1)
    assert rows(engine, "select max(day) from shop.days") == [(NEXT,)]


def test_a_cancelled_invoice_with_a_wrong_clock_does_not_make_the_history_longer(
    settings: Settings, engine: Engine, tmp_path: Path
) -> None:
    header = "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,CustomerID,Country\n"
    lines = [
        "1,A,Tea,1,2010-12-01 08:26:00,2.55,17850,UK",
        "2,A,Tea,1,9999-12-01 08:26:00,2.55,17850,UK",
        "2,B,Cup,1,9999-12-01 08:26:00,2.55,17850,UK",
        "C3,A,Tea,-1,0001-01-01 00:00:00,2.55,17850,UK",
    ]
    (tmp_path / "online_retail_1.csv").write_text(header + "\n".join(lines) + "\n")
    counts = sync.load(Shop(settings, engine), "online_retail", str(tmp_path))
    assert (counts.accepted, counts.rejected) == (1, 3)
    assert rejected(engine) == [(2, "in_the_future"), (3, "in_the_future"), (4, "too_long_ago")]
    assert rows(engine, "select day from shop.days") == [(date(2010, 12, 1),)]


def test_rows_of_the_future_do_not_make_a_stale_file_recent(settings: Settings, engine: Engine, files: Path) -> None:
    old = [order(f"{n}", day=date(2026, 10, 1)) for n in range(20)]
    write_day(files, orders=[*old, order("9999", updated_at=YEAR_9999)])
    with pytest.raises(ExpectationFailed, match="newest_row_is_recent"):
        sync.sync(Shop(settings, engine), "demo_shop", DAY)


def _own_source(settings: Settings, tmp_path: Path) -> Settings:
    """The demo shop by a mapping and suites of our own that look at nothing."""
    include = tmp_path / "include"
    shutil.copytree(settings.include, include)
    for feed in ("orders", "customers", "consents"):
        (include / "expectations" / f"demo_shop_{feed}.yaml").write_text(
            f"suite: demo_shop_{feed}\nabout: Nothing is checked.\nrules: []\nbatch: []\n"
        )
    mapping = include / "sql" / "orders" / "mappings" / "demo_shop_consents.sql"
    mapping.write_text(
        "-- As told.\nselect file_no, row_no,\n    customer_id as customer_ref,\n    purpose, channel,"
        " granted = 'yes' as is_granted, cast(nullif(changed_at, '') as timestamptz) as updated_at"
        " from {{ landed }} as landed\n"
    )
    return settings.evolve(include=include)


@pytest.mark.parametrize("at", ["infinity", "-infinity", "294276-12-31 23:59:59+00", "4713-01-01 00:00:00+00 BC", ""])
def test_a_mapping_of_ones_own_that_checks_nothing_lets_no_impossible_instant_in(
    settings: Settings, tmp_path: Path, at: str
) -> None:
    own = _own_source(settings, tmp_path)
    engine = database.connect(own)
    write_day(
        own.local / "demo_shop",
        orders=[
            order("1"),
            order("2", created_at=at or "infinity"),
            order("3", updated_at=at or "infinity"),
            order("1", status="cancelled", created_at=at or "infinity", updated_at=at or "infinity"),
        ],
        lines=[line("1")],
        customers=[customer("C1"), customer("C2", updated_at=at or "infinity", registered_at=at or None)],
        consents=[consent("C1", changed_at=at), consent("C2", changed_at=at, granted="no"), consent("C3")],
    )
    counts = sync.sync(Shop(own, engine), "demo_shop", DAY)
    assert (counts.accepted, counts.rejected, counts.corrected) == (6, 4, 2)
    assert rows(engine, "select order_ref, status from shop.orders") == [("1", "cancelled")]
    assert [(ref, granted) for ref, granted, _ in consents(engine)] == [("C2", False), ("C3", True)]


def test_a_cancellation_taken_at_its_landing_does_not_make_the_history_longer(
    settings: Settings, engine: Engine, tmp_path: Path
) -> None:
    gone = order("2", status="cancelled", updated_at=YEAR_9999)
    path = write_day(tmp_path / "files", orders=[order("1"), gone]).rename(tmp_path / "history") / "orders.csv"
    at = datetime(2026, 11, 25, 12, tzinfo=UTC)
    assert sync.load(Shop(settings, engine), "demo_shop", str(path), at=at).corrected == 1
    assert rows(engine, "select status, known_at from shop.orders where order_ref = '2'") == [("cancelled", at)]
    assert rows(engine, "select day from shop.days") == [(DAY,)]


def test_the_last_day_of_a_history_can_be_said_on_the_command_line(
    settings: Settings, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETENTION_DATABASE_URL", str(settings.database_url))
    monkeypatch.setenv("RETENTION_LOCAL", str(settings.local))
    path = _cdnow(tmp_path, "19970101", "19980701", "19980702")
    assert cli.main(["load", "--source", "cdnow", "--path", path, "--until", "1998-06-30"]) == 0
    assert rejected(engine) == [(3, "in_the_future")]


def test_a_day_is_over_by_the_instant_that_is_given_in_every_part_of_its_sync(
    settings: Settings, engine: Engine, files: Path
) -> None:
    ahead = date(2199, 1, 1)
    write_day(files, ahead, orders=[order("1", day=ahead)])
    counts = sync.sync(Shop(settings, engine), "demo_shop", ahead, now=datetime(2199, 1, 2, 12, tzinfo=UTC))
    assert counts.orders_inserted == 1
