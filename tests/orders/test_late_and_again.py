"""A day that is synced again, files that come late, and what a sync would do (DESIGN 3)."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from shop_files import DAY, customer, order, write_day
from sqlalchemy import Engine, text

from retention.core import changes, database
from retention.core.errors import ExpectationFailed, NotReady
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.orders import sync
from shop import dump

NEXT = DAY + timedelta(days=1)
KNOWN_ON = "cast(known_at at time zone 'Europe/Amsterdam' as text)"


def rows(engine: Engine, statement: str, **values: Any) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement), values)]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return tmp_path / "demo_shop"


@pytest.fixture
def own(settings: Settings, tmp_path: Path) -> Settings:
    """Sources, mappings and suites that may be changed."""
    for name in ("sources", "expectations", "sql"):
        shutil.copytree(settings.include / name, tmp_path / "include" / name)
    for file in settings.include.iterdir():
        if file.is_file():
            shutil.copy(file, tmp_path / "include")
    return settings.evolve(include=tmp_path / "include")


def test_an_old_day_that_comes_late_is_known_from_the_end_of_the_newest_day(
    settings: Settings, engine: Engine, files: Path
) -> None:
    write_day(files, orders=[order("1")])
    write_day(files, NEXT, orders=[order("2", day=NEXT)])
    sync.sync(Shop(settings, engine), "demo_shop", DAY)
    sync.sync(Shop(settings, engine), "demo_shop", NEXT)
    with engine.connect() as connection:
        seen = changes.newest(connection)
    write_day(files, orders=[order("1", status="cancelled"), order("late", "C9")], customers=[customer("C9")])
    assert sync.sync(Shop(settings, engine), "demo_shop", DAY).again == "its files have changed"
    assert rows(engine, f"select order_ref, {KNOWN_ON} from shop.orders order by 1") == [
        ("1", "2026-11-04 00:00:00"),
        ("2", "2026-11-04 00:00:00"),
        ("late", "2026-11-04 00:00:00"),
    ]
    assert rows(
        engine, "select status, cast(superseded_at at time zone 'Europe/Amsterdam' as text) from shop.orders_history"
    ) == [("complete", "2026-11-04 00:00:00")]
    found = rows(
        engine,
        "select customer_ref, day, what from shop.changes join shop.customers using (customer_id)"
        " where change_no > :seen order by 1",
        seen=seen,
    )
    assert found == [("C1", DAY, ["orders"]), ("C9", DAY, ["customers", "orders"])]


def test_a_history_that_comes_late_is_known_from_the_end_of_the_newest_day_and_is_no_day_of_it(
    settings: Settings, engine: Engine, files: Path, tmp_path: Path
) -> None:
    write_day(files, NEXT, orders=[order("2", day=NEXT)])
    sync.sync(Shop(settings, engine), "demo_shop", NEXT)
    later, old = NEXT + timedelta(days=1), DAY - timedelta(days=100)
    history = tmp_path / "history"
    for day in (old, later):
        write_day(history, day, orders=[order(f"{day}", day=day)])
    sync.load(Shop(settings, engine), "demo_shop", str(history), at=datetime(2026, 11, 20, tzinfo=UTC))
    assert rows(engine, f"select order_ref, {KNOWN_ON} from shop.orders order by ordered_on") == [
        (f"{old}", "2026-11-04 00:00:00"),
        ("2", "2026-11-04 00:00:00"),
        (f"{later}", "2026-11-05 00:00:00"),
    ]
    assert rows(engine, "select day from shop.days order by 1") == [(NEXT,), (later,)]


def test_an_older_history_of_another_source_does_not_pretend_to_be_of_the_newest_day(
    settings: Settings, engine: Engine, files: Path, tmp_path: Path
) -> None:
    write_day(files, NEXT, orders=[order("2", day=NEXT)])
    sync.sync(Shop(settings, engine), "demo_shop", NEXT)
    (tmp_path / "CDNOW_sample.txt").write_text(" 00001 0001 19970101  1   11.77\n")
    sync.load(Shop(settings, engine), "cdnow", str(tmp_path / "CDNOW_sample.txt"), until=date(1998, 6, 30))
    assert rows(engine, "select part, day from shop.days order by 1") == [
        ("cdnow", date(1997, 1, 1)),
        ("demo_shop", NEXT),
    ]
    assert rows(engine, f"select {KNOWN_ON} from shop.orders where source = 'cdnow'") == [("2026-11-04 00:00:00",)]


def test_a_changed_suite_judges_the_newest_day_again_and_older_days_stay(
    own: Settings, engine: Engine, files: Path
) -> None:
    write_day(files, orders=[order("1")])
    write_day(files, NEXT, orders=[order("2", day=NEXT), order("3", day=NEXT)])
    first = sync.sync(Shop(own, engine), "demo_shop", DAY)
    second = sync.sync(Shop(own, engine), "demo_shop", NEXT)
    suite = own.include / "expectations" / "demo_shop_orders.yaml"
    written = suite.read_text(encoding="utf-8")
    suite.write_text(written + "\n# only a word\n", encoding="utf-8")
    again = sync.sync(Shop(own, engine), "demo_shop", NEXT)
    assert again == replace(
        second, orders_inserted=0, orders_unchanged=2, customers_touched=0, again="what it is made by has changed"
    )
    assert sync.publish(Shop(own, engine), "demo_shop", NEXT) == again
    rule = "\n  - rule: costs_more\n    column: total\n    good: cast(total as numeric) > 10\n"
    suite.write_text(written.replace("\nrules:\n", "\nrules:" + rule, 1), encoding="utf-8")
    with pytest.raises(ExpectationFailed, match="costs_more"):
        sync.sync(Shop(own, engine), "demo_shop", NEXT)
    assert sync.sync(Shop(own, engine), "demo_shop", DAY) == first


def test_files_of_an_old_day_that_come_again_bring_no_old_version_back(
    settings: Settings, engine: Engine, files: Path
) -> None:
    """Both versions carry one updated_at: the file's own day decides, not the midnight from which it is known."""
    old = {"orders": [order("1")], "customers": [customer("C1", first_name="Old")]}
    write_day(files, **old)
    sync.sync(Shop(settings, engine), "demo_shop", DAY)
    write_day(files, NEXT, orders=[order("1", status="cancelled")], customers=[customer("C1", first_name="New")])
    sync.sync(Shop(settings, engine), "demo_shop", NEXT)
    versions = "select status, known_at from shop.orders union all select status, known_at from shop.orders_history"
    before = rows(engine, versions)
    write_day(files, orders=[*old["orders"], order("late", "C9")], customers=old["customers"])
    assert sync.sync(Shop(settings, engine), "demo_shop", DAY).orders_inserted == 1
    assert rows(engine, "select status from shop.orders where order_ref = '1'") == [("cancelled",)]
    assert rows(engine, "select first_name from shop.customers where customer_ref = 'C1'") == [("New",)]
    assert set(before) <= set(rows(engine, versions))


def test_a_day_that_is_done_is_looked_for_where_somebody_says_it_is(
    settings: Settings, engine: Engine, files: Path
) -> None:
    write_day(files, orders=[order("1")])
    first = sync.sync(Shop(settings, engine), "demo_shop", DAY)
    shutil.rmtree(files)
    assert sync.sync(Shop(settings, engine), "demo_shop", DAY) == first
    with pytest.raises(NotReady):
        sync.sync(Shop(settings, engine), "demo_shop", DAY, str(files / "elsewhere"))


def test_a_dry_run_counts_what_a_sync_would_and_writes_nothing(settings: Settings, engine: Engine, files: Path) -> None:
    write_day(files, orders=[order(str(number), f"C{number:02}") for number in range(40)])
    sync.sync(Shop(settings, engine), "demo_shop", DAY)
    orders = [order(f"n{number}", f"C{number:02}", day=NEXT) for number in range(12)]
    orders += [order("bad", day=NEXT, total="much"), order("0", "C00", status="cancelled")]
    write_day(files, NEXT, orders=orders)
    before = dump(engine)
    for _ in range(2):
        found = sync.rehearse(Shop(settings, engine), "demo_shop", NEXT)
        assert dump(engine) == before
        assert (found["landed"], found["accepted"], found["orders_inserted"]) == (14, 13, 12)
        assert found["sample"] == [f"C{number:02}" for number in range(10)]
        assert sum(found["excluded"].values()) >= 1
    done = sync.sync(Shop(settings, engine), "demo_shop", NEXT).counts()
    assert {key: found[key] for key in done} == done
    again = sync.rehearse(Shop(settings, engine), "demo_shop", NEXT)
    assert (again["orders_inserted"], again["customers_touched"], again["sample"]) == (0, 0, [])


def test_in_a_rehearsal_transactions_are_those_of_a_database_and_nothing_stays(engine: Engine) -> None:
    before = dump(engine)
    insert = text("insert into shop.rates values ('XXX', :day, 1)")
    with database.rehearsal(engine) as trial:
        with trial.begin() as connection:
            connection.execute(insert, {"day": DAY})
        with trial.connect() as connection:
            connection.execute(insert, {"day": NEXT})
        with pytest.raises(Exception, match="duplicate"), trial.begin() as connection:
            connection.execute(insert, {"day": DAY})
        assert rows(trial, "select valid_from from shop.rates where currency = 'XXX'") == [(DAY,)]
    assert dump(engine) == before
