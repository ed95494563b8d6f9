"""Names of columns: a file may call its columns what it likes; an extra one warns and stops nothing."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import yaml
from shop_files import DAY, ORDERS, customer, order, write_day
from sqlalchemy import Engine, text

from retention.core import database
from retention.core.errors import DataError, InputError
from retention.core.settings import Settings
from retention.core.shop import Shop, opened
from retention.orders import sources, sync

SIGNS = (
    'Order No.|address.city|a.b.c.d|.|..|the "best"|it\'s|gift: 50%|:x|a::b|%s|%(x)s|{{ x }}|{0}|select|user|Total|'
    "TOTAL|Ωmega|日本|with  blanks|a\\b|a\\:b|accepted|newest|row_is_readable|order_id_is_present|row_no|load_key|"
    "file_no|ctid|tableoid|xmin|r:accepted|a;b|a/*b|--|$1|'; drop table shop.orders; --||\t|column 1"
)
NAMES = [*SIGNS.split("|"), "x" * 60, "é" * 30, "x" * 61, "日本" * 11]
ALONE = ["Order No.", "address.city", "accepted", "row_no", "ctid", "", "x" * 61, "r:accepted", "Total", ":x", "%s"]


@pytest.fixture
def own(settings: Settings, tmp_path: Path) -> Settings:
    """Settings with a copy of the files that tests may change."""
    include = tmp_path / "include"
    shutil.copytree(settings.include, include)
    return settings.evolve(include=include)


def change(own: Settings, feed: str, **changes: object) -> None:
    path = own.include / "sources" / "demo_shop.yaml"
    content = yaml.safe_load(path.read_text())
    content["feeds"][feed] |= changes
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def as_csv(*rows: list[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def rows(engine: Engine, statement: str) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(text(statement)).scalars())


def mismatched(engine: Engine) -> list[str]:
    (found,) = rows(
        engine,
        "select r -> 'result' -> 'details' -> 'mismatched' from landing.validations,"
        " jsonb_array_elements(results -> 'results') as r where not cast(r ->> 'success' as boolean)"
        " and suite = 'demo_shop_orders' and r -> 'expectation_config' -> 'meta' ->> 'rule' = 'columns_as_expected'",
    )
    return list(found["unexpected"])


@pytest.mark.parametrize("name", ALONE)
def test_an_extra_column_of_a_csv_file_is_landed_and_warns_whatever_its_name(
    settings: Settings, engine: Engine, name: str
) -> None:
    here = write_day(settings.local / "demo_shop")
    good, bad = list(order("1").values()), list(order("2", total="x").values())
    (here / "orders.csv").write_text(as_csv([*ORDERS, name], [*good, "mug"], [*bad, "cup"]))
    counts = sync.sync(Shop(settings, engine), "demo_shop", DAY)
    assert (counts.orders_inserted, counts.rejected) == (1, 1)
    if name.lower() in ORDERS:  # Great Expectations does not tell these two apart
        extra = name
    else:
        (extra,) = mismatched(engine)
        assert extra in (name, "column 11")
    values = (
        "select to_jsonb(o) - 'load_key' - 'file_no' - 'row_no' from landing.demo_shop_orders as o where row_no = 1"
    )
    assert rows(engine, values)[0][extra] == "mug"
    assert rows(engine, "select row_text from landing.rejections")[0][extra] == "cup"


def test_all_these_names_at_once_and_without_any_stop_nothing(settings: Settings, engine: Engine) -> None:
    here = write_day(settings.local / "demo_shop")
    values = [f"{place}" for place in range(len(NAMES))]
    (here / "orders.csv").write_text(as_csv([*ORDERS, *NAMES, "", ""], [*order("1").values(), *values, "a", "b"]))
    assert sync.sync(Shop(settings, engine), "demo_shop", DAY).orders_inserted == 1
    (landed,) = rows(engine, "select to_jsonb(o) from landing.demo_shop_orders as o")
    assert {*values, "a", "b"} <= set(landed.values())


def test_an_extra_column_that_stands_there_twice_is_landed_under_two_names(settings: Settings, engine: Engine) -> None:
    here = write_day(settings.local / "demo_shop")
    (here / "orders.csv").write_text(as_csv([*ORDERS, "gift", "gift"], [*order("1").values(), "a", "b"]))
    assert sync.sync(Shop(settings, engine), "demo_shop", DAY).orders_inserted == 1
    assert set(mismatched(engine)) == {"gift", "column 12"}


def test_an_expected_column_that_stands_there_twice_is_refused(settings: Settings, engine: Engine) -> None:
    here = write_day(settings.local / "demo_shop")
    (here / "orders.csv").write_text(as_csv([*ORDERS, "total"], [*order("1").values(), "1"]))
    with pytest.raises(DataError, match="line 1: the column 'total' stands there twice"):
        sync.sync(Shop(settings, engine), "demo_shop", DAY)


def test_extra_keys_of_json_lines_are_landed_whatever_their_names(settings: Settings, engine: Engine) -> None:
    here = write_day(settings.local / "demo_shop", orders=[order("1")])
    lines = [{**customer(f"C{place}"), name: "mug"} for place, name in enumerate(NAMES)]
    lines.append({**customer("all"), **dict.fromkeys(NAMES, "mug")})
    (here / "customers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    counts = sync.sync(Shop(settings, engine), "demo_shop", DAY)
    assert (counts.accepted, counts.rejected) == (len(NAMES) + 2, 0)
    landed = rows(engine, "select to_jsonb(o) from landing.demo_shop_customers as o order by row_no")
    for name, row in zip(NAMES, landed[:-1], strict=True):
        assert row.get(name) == "mug" or json.loads(row["other keys"]) == {name: "mug"}
    others = json.loads(landed[-1]["other keys"])
    assert others == {name: "mug" for name in NAMES if not sources.is_column(name)}


def test_extra_columns_of_a_parquet_file_are_landed_whatever_their_names(own: Settings, engine: Engine) -> None:
    change(own, "orders", format="parquet", path="{day}/orders.parquet")
    here = write_day(own.local / "demo_shop")
    table = pyarrow.Table.from_pylist([order("1"), order("2", coupon="a\0b")])
    for place, name in enumerate(NAMES):
        table = table.append_column(name, pyarrow.array([f"mug {place}", "cup"]))
    for content in (table.slice(0, 1), table):  # by COPY, and row by row
        pyarrow.parquet.write_table(content, here / "orders.parquet")
        assert sync.sync(Shop(own, engine), "demo_shop", DAY).accepted == 1
        (landed,) = rows(engine, "select to_jsonb(o) from landing.demo_shop_orders as o where row_no = 1")
        assert {f"mug {place}" for place in range(len(NAMES))} <= set(landed.values())


def test_columns_that_a_source_expects_may_have_any_names_that_can_be_one(own: Settings) -> None:
    engine = database.connect(own)
    names = [name for name in NAMES if sources.is_column(name)]
    change(own, "orders", columns=[*ORDERS, *names])
    suite = own.include / "expectations" / "demo_shop_orders.yaml"
    content = yaml.safe_load(suite.read_text())
    for place, name in enumerate(names):
        good = f"{database.identifier(name)} in ('mug', 'cup')"
        content["rules"].append({"rule": f"gift_{place}", "column": name, "good": good})
    suite.write_text(yaml.safe_dump(content, sort_keys=False))
    mapped = [name for name in names if "{" not in name and "\\:" not in name]
    quoted = ", ".join(database.identifier(name).replace(":", "\\:") for name in mapped)
    mapping = own.include / "sql" / "orders" / "mappings" / "demo_shop_orders.sql"
    mapping.write_text(mapping.read_text().replace("coupon as", f"concat({quoted}) as"))
    here = write_day(own.local / "demo_shop")
    values = [[*order(gift).values(), *[gift] * len(names)] for gift in ("mug", "cup", "no")]
    (here / "orders.csv").write_text(as_csv([*ORDERS, *names], *values))
    counts = sync.sync(Shop(own, engine), "demo_shop", DAY)
    assert (counts.accepted, counts.rejected) == (2, 1)
    assert rows(engine, "select rule from landing.rejections where value = 'no' order by rule") == sorted(
        f"gift_{place}" for place in range(len(names))
    )
    assert rows(engine, "select coupon_code from shop.orders order by 1") == ["cup" * len(mapped), "mug" * len(mapped)]


@pytest.mark.parametrize("name", [name for name in NAMES if not sources.is_column(name)])
def test_a_source_that_expects_a_name_that_cannot_be_a_column_is_refused(own: Settings, name: str) -> None:
    change(own, "orders", columns=[*ORDERS, name])
    with pytest.raises(InputError, match=r"demo_shop.yaml"):
        sources.read(own.include, "demo_shop")


def test_a_mapping_that_asks_for_a_value_nobody_gives_is_named(own: Settings) -> None:
    mapping = own.include / "sql" / "orders" / "mappings" / "demo_shop_orders.sql"
    mapping.write_text(mapping.read_text().replace("coupon as", "' :nobody' as"))
    write_day(own.local / "demo_shop", orders=[order("1")])
    with pytest.raises(InputError, match=r"demo_shop_orders.sql: .*nobody"):
        sync.sync(opened(own), "demo_shop", DAY)


def test_a_rule_may_not_have_a_name_that_publishing_uses(own: Settings, engine: Engine) -> None:
    path = own.include / "expectations" / "demo_shop_orders.yaml"
    path.write_text(path.read_text().replace("rule: order_id_is_present", "rule: too_long_ago"))
    write_day(own.local / "demo_shop", orders=[order("1")])
    with pytest.raises(InputError, match="'too_long_ago' is there twice, or is a name of ours"):
        sync.sync(Shop(own, engine), "demo_shop", DAY)


def test_a_name_is_quoted_as_one_and_a_table_as_two() -> None:
    assert database.identifier('a.b"c') == '"a.b""c"'
    assert database.qualified("landing.shop_orders") == '"landing"."shop_orders"'
    with pytest.raises(InputError, match="1 to 63 bytes"):
        database.identifier("é" * 32)
