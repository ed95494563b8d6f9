"""Sources and suites: what their YAML may say, which files they find, and the formats they read."""

from __future__ import annotations

import json
import shutil
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import yaml
from shop_files import CUSTOMERS, DAY, ORDERS, customer, order, write_day
from sqlalchemy import Engine, text

from retention.core import database
from retention.core.errors import DataError, InputError, StateError
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.orders import rates, sources, sync, validation


@pytest.fixture
def own(settings: Settings, tmp_path: Path) -> Settings:
    """Settings with an include folder of one's own to change."""
    include = tmp_path / "include"
    shutil.copytree(settings.include, include, ignore=shutil.ignore_patterns("retention*", "*.pyc"))
    return settings.evolve(include=include)


def change(settings: Settings, name: str = "demo_shop", **feed: Any) -> None:
    """Change the orders feed of a source; a value of None takes the key away."""
    path = settings.include / "sources" / f"{name}.yaml"
    content = yaml.safe_load(path.read_text())
    content["feeds"]["orders"] |= feed
    content["feeds"]["orders"] = {key: value for key, value in content["feeds"]["orders"].items() if value is not None}
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def test_every_source_and_suite_that_is_shipped_can_be_read(settings: Settings) -> None:
    found = sources.read_all(settings.include)
    assert {"demo_shop", "online_retail", "cdnow"} <= set(found)
    for source in found.values():
        for feed in source.landed:
            assert validation.read(settings.include, feed.suite, feed).rules


def test_feeds_are_published_customers_first(settings: Settings) -> None:
    assert list(sources.read(settings.include, "demo_shop").feeds) == list(sources.FEEDS)


def test_an_unknown_source_is_refused_with_the_known_ones(settings: Settings) -> None:
    with pytest.raises(InputError, match="no source 'nowhere'; known: cdnow, demo_shop, online_retail"):
        sources.read(settings.include, "nowhere")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "daily: true",
            "daily: true\ndialy: true",
            r"demo_shop.yaml, line 5: unknown key 'dialy'. Did you mean 'daily'",
        ),
        ("format: jsonl", "format: xml", 'line 10: format is "xml"; write one of csv'),
        ('path: "{day}/orders.csv"', 'path: "../{day}/orders.csv"', r"'\.\.' "),
        ('path: "{day}/orders.csv"', 'path: "{day}/a/../../orders.csv"', r"'\.\.' "),
        ('path: "{day}/orders.csv"', 'path: "/etc/{day}/orders.csv"', "below `root`"),
        ('path: "{day}/orders.csv"', 'path: "orders.csv"', "needs {day} in the path"),
        ('root: "{local}/demo_shop"', 'root: "{local}/../demo_shop"', r"line 5: root is .*write a path without '\.\.'"),
        ("name: demo_shop", "name: Demo", 'line 1: name is "Demo"; write lower-case letters'),
        ("name: demo_shop", "name: other", "the file is called demo_shop.yaml"),
        ("namespace: demo", "namespace: demo\nnamespace: other", "line 4: the key 'namespace' is written twice"),
        ("namespace: demo", "namespace: demo\nzone: Europe/Atlantis", "'Europe/Atlantis' is not known"),
        ("namespace: demo", "namespace: demo\nzone: Europe", "'Europe' is not known"),
        ("namespace: demo", "namespace: demo\nzone: ../../etc/passwd", "is not known"),
        ("namespace: demo", "namespace: demo\nzone: ''", "'' is not known"),
        ("namespace: demo", f"namespace: demo\nzone: {'x' * 10_000}", "is not known"),
        ("about: The", "about: [The", "line .*did not find|line .*expected"),
        ("total, refunded", "row_no, refunded", "row_no is a name of ours"),
    ],
)
def test_a_mistake_in_a_source_is_named_with_its_line(own: Settings, old: str, new: str, message: str) -> None:
    path = own.include / "sources" / "demo_shop.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(InputError, match=message):
        sources.read(own.include, "demo_shop")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("good:", "godo:", "unknown key 'godo'"),
        ("at_most: 5%", "at_most: five", "line"),
        ("severity: critical", "severity: terrible", "line"),
        ("column: order_id", "column: order_ref", "columns of the feed are"),
        ("rule: customer_is_present", "rule: order_id_is_present", "there twice"),
    ],
)
def test_a_mistake_in_a_suite_is_named(own: Settings, old: str, new: str, message: str) -> None:
    path = own.include / "expectations" / "demo_shop_orders.yaml"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(InputError, match=message):
        validation.read(own.include, "demo_shop_orders", sources.read(own.include, "demo_shop").feeds["orders"])


def test_a_rule_that_is_no_sql_is_named(own: Settings, engine: Engine) -> None:
    path = own.include / "expectations" / "demo_shop_orders.yaml"
    path.write_text(path.read_text().replace("good: length(order_id)", "good: lenght(order_id)", 1))
    write_day(own.local / "demo_shop", orders=[order("1")])
    with pytest.raises(InputError, match=r"demo_shop_orders.yaml: a rule is not valid SQL: .*lenght"):
        sync.sync(Shop(own, engine), "demo_shop", DAY)


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ("order_id as order_ref", "order_idd as order_ref", InputError, "demo_shop_orders.sql: column"),
        ("    status,\n", "", InputError, "gives no status"),
        ("    status,\n", "    status, 1 as mood,\n", InputError, "gives 'mood', which"),
        ("cast(total as numeric)", "cast(store as numeric)", DataError, "add a rule that rejects it"),
        ("as landed", "as landed where false", StateError, "drop or repeat rows"),
    ],
)
def test_a_mapping_that_fails_is_named_and_nothing_is_published(
    own: Settings, old: str, new: str, error: type[Exception], message: str
) -> None:
    path = own.include / "sql" / "orders" / "mappings" / "demo_shop_orders.sql"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    write_day(own.local / "demo_shop", orders=[order("1")], customers=[customer("C1")])
    engine = database.connect(own)
    with pytest.raises(error, match=message):
        sync.sync(Shop(own, engine), "demo_shop", DAY)
    with engine.connect() as connection:
        assert connection.execute(text("select count(*) from shop.customers")).scalar() == 0


def test_a_path_on_the_command_line_may_go_up(settings: Settings, engine: Engine, tmp_path: Path) -> None:
    write_day(tmp_path / "elsewhere", orders=[order("1")])
    (tmp_path / "demo_shop").mkdir()
    path = f"{tmp_path}/demo_shop/../elsewhere"
    assert sync.sync(Shop(settings, engine), "demo_shop", DAY, path).orders_inserted == 1


def test_files_can_come_from_any_file_system(settings: Settings, engine: Engine, tmp_path: Path) -> None:
    import fsspec

    here = write_day(tmp_path, orders=[order("1")])
    memory = fsspec.filesystem("memory")
    for name in ("orders.csv", "order_lines.csv", "_COMPLETE"):
        memory.pipe_file(f"/shop/{DAY}/{name}", (here / name).read_bytes())
    assert sync.sync(Shop(settings, engine), "demo_shop", DAY, "memory://shop").orders_inserted == 1


def test_a_folder_with_signs_of_a_pattern_in_its_name_is_that_folder(
    settings: Settings, engine: Engine, tmp_path: Path
) -> None:
    for number in range(2):
        day = DAY + timedelta(days=number)
        write_day(tmp_path / "a[1]*", day, orders=[order(f"{number}", day=day)])
    assert sync.load(Shop(settings, engine), "demo_shop", str(tmp_path / "a[1]*")).orders_inserted == 2


def test_a_history_without_a_file_says_what_it_looked_for(settings: Settings, engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no file CDNOW_sample.txt\* .* expected columns: customer"):
        sync.load(Shop(settings, engine), "cdnow", str(tmp_path))
    with pytest.raises(DataError, match="no folder of its own"):
        sync.load(Shop(settings, engine), "cdnow")


def test_another_delimiter_encoding_and_quoting(own: Settings, engine: Engine) -> None:
    change(own, delimiter=";", encoding="windows-1252")
    here = write_day(own.local / "demo_shop", orders=[order("1", coupon="Café"), order("2", coupon="€5")])
    path = here / "orders.csv"
    path.write_bytes(path.read_text().replace(",", ";").encode("windows-1252"))
    sync.sync(Shop(own, engine), "demo_shop", DAY)
    with engine.connect() as connection:
        found = connection.execute(text("select coupon_code from shop.orders order by 1")).scalars().all()
    assert sorted(found) == ["Café", "€5"]


def test_utf_16_can_be_read_when_the_source_says_so(own: Settings, engine: Engine) -> None:
    change(own, encoding="utf-16")
    here = write_day(own.local / "demo_shop", orders=[order("1", coupon="Ωmega")])
    (here / "orders.csv").write_bytes((here / "orders.csv").read_text().encode("utf-16"))
    assert sync.sync(Shop(own, engine), "demo_shop", DAY).orders_inserted == 1


def test_parquet_with_typed_columns(own: Settings, engine: Engine) -> None:
    change(own, format="parquet", path="{day}/orders.parquet")
    here = write_day(own.local / "demo_shop")
    table = pyarrow.Table.from_pylist([order("1"), order("2", coupon='a,"b"\nc')])
    places = {name: place for place, name in enumerate(ORDERS)}
    for name, kind in (("total", pyarrow.float64()), ("updated_at", pyarrow.timestamp("us", "UTC"))):
        texts = table.column(name).to_pylist()
        typed = pyarrow.array([float(v) if name == "total" else datetime.fromisoformat(v) for v in texts], kind)
        table = table.set_column(places[name], name, typed)
    pyarrow.parquet.write_table(table, here / "orders.parquet")
    assert sync.sync(Shop(own, engine), "demo_shop", DAY).orders_inserted == 2


def test_parquet_with_a_nul_byte_loses_only_that_row(own: Settings, engine: Engine) -> None:
    change(own, format="parquet", path="{day}/orders.parquet")
    here = write_day(own.local / "demo_shop")
    rows = [order("1"), order("2", coupon="a\0b"), order("3")]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), here / "orders.parquet")
    counts = sync.sync(Shop(own, engine), "demo_shop", DAY)
    assert (counts.orders_inserted, counts.rejected) == (2, 1)
    (here / "orders.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(DataError, match="not a whole Parquet file"):
        sync.sync(Shop(own, engine), "demo_shop", DAY)


def test_json_lines_keep_numbers_as_written_and_nested_values_as_json(own: Settings, engine: Engine) -> None:
    here = write_day(own.local / "demo_shop", orders=[order("1")], customers=[customer("C1")])
    row = {**customer("C2"), "household": 12345678901234567890.10, "tags": {"vip": True}}
    with (here / "customers.jsonl").open("a") as file:
        file.write(json.dumps(row).replace("12345678901234567000.0", "1.10") + "\n\n")
    sync.sync(Shop(own, engine), "demo_shop", DAY)
    with engine.connect() as connection:
        found = connection.execute(
            text("select tags from landing.demo_shop_customers where customer_id = 'C2'")
        ).scalar_one()
    assert json.loads(found) == {"vip": True}
    assert len(CUSTOMERS) == 14


def test_progress_goes_up_to_the_files_size(settings: Settings, engine: Engine) -> None:
    here = write_day(settings.local / "demo_shop", orders=[order(str(number)) for number in range(100)])
    told: list[tuple[int, int, str]] = []
    sync.sync(
        Shop(settings, engine), "demo_shop", DAY, progress=lambda done, total, label: told.append((done, total, label))
    )
    size = (here / "orders.csv").stat().st_size
    assert (size, size, "demo_shop orders") in told


def test_rates_are_crossed_for_another_reporting_currency(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    path.write_text("currency,valid_from,rate\nGBP,2020-01-01,1.2\nUSD,2020-01-01,0.8\nUSD,2021-01-01,0.9\n")
    assert {(c, d.year): float(r) for c, d, r in rates.read(path, "USD")} == {
        ("GBP", 2020): 1.5,
        ("EUR", 2020): 1.25,
        ("EUR", 2021): pytest.approx(1.11111111),
    }
    path.write_text("currency,valid_from,rate\nGBP,2020-13-01,1.2\n")
    with pytest.raises(InputError, match=r"rates.csv, line 2"):
        rates.read(path, "EUR")
    assert rates.read(settings.include / "rates.csv", "EUR")[0][1] == date(1996, 1, 1)
