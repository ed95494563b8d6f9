"""What the shop sells: the feed `products`, which is of no customer."""

from __future__ import annotations

import shutil
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import yaml
from shop_files import DAY, line, order, product, write_day
from sqlalchemy import Engine, text

from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.orders import sync
from retention.orders.publishing import SyncCounts

NEXT = DAY + timedelta(days=1)
MARGINS = "select product_ref, margin from shop.products order by 1"


def rows(engine: Engine, statement: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


class Till:
    """The demo shop, whose days have one order each beside what is given."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self.shop = Shop(settings, engine)

    def day(self, day: date, *products: dict[str, str]) -> SyncCounts:
        folder = self.shop.settings.local / "demo_shop"
        write_day(folder, day, orders=[order(f"{day}", day=day)], lines=[line(f"{day}")], products=list(products))
        return sync.sync(self.shop, "demo_shop", day)


@pytest.fixture
def till(settings: Settings, engine: Engine) -> Till:
    return Till(settings, engine)


def test_a_line_of_an_order_finds_its_product(till: Till, engine: Engine) -> None:
    counts = till.day(DAY, product(), product("CUP", margin="", price="", picture="", category=""))
    assert (counts.landed, counts.accepted, counts.customers_touched) == (4, 4, 1)
    joined = (
        "select p.name, p.category, p.margin, p.price, p.currency, p.picture_url, p.url from shop.order_lines"
        " inner join shop.products as p using (source, product_ref)"
    )
    address = "https://shop.example/TEA-1"
    assert rows(engine, joined) == [("Tea", "tea", Decimal("0.4"), 10, "EUR", f"{address}.jpg", address)]
    assert rows(engine, "select category, margin, price, picture_url from shop.products where product_ref = 'CUP'") == [
        (None, None, None, None)
    ]


def test_a_changed_product_is_a_new_version_and_touches_nobody(till: Till, engine: Engine) -> None:
    till.day(DAY, product())
    assert till.day(NEXT, product(day=NEXT, margin="0.30")).customers_touched == 1  # by the day's order
    assert rows(engine, MARGINS) == [("TEA-1", Decimal("0.3"))]
    versions = "select margin, cast(known_at at time zone 'Europe/Amsterdam' as date) from shop.product_versions"
    assert rows(engine, f"{versions} order by known_at") == [
        (Decimal("0.4"), NEXT),
        (Decimal("0.3"), NEXT + timedelta(days=1)),
    ]
    assert rows(engine, "select distinct what from shop.changes order by 1") == [
        (["customers", "orders"],),
        (["orders"],),
    ]


def test_the_same_rows_once_more_change_nothing(till: Till, engine: Engine) -> None:
    till.day(DAY, product())
    till.day(NEXT, product())
    assert rows(engine, "select count(*) from shop.product_versions") == [(1,)]


def test_an_older_row_never_overwrites_a_newer_one(till: Till, engine: Engine) -> None:
    till.day(DAY, product(margin="0.30"))
    till.day(NEXT, product(margin="0.50", updated_at="2026-10-01T09:00:00+02:00"))
    assert rows(engine, MARGINS) == [("TEA-1", Decimal("0.3"))]


BAD = [  # the rule that a row breaks, and how
    ("sku_is_present", {"sku": ""}),
    ("name_is_present", {"name": " "}),
    *(("margin_is_a_share", {"margin": margin}) for margin in ("1.01", "40", "-0.1", "40 %", "0,4", "NaN", "1e400")),
    ("price_is_a_number", {"price": "cheap"}),
    ("price_is_a_number", {"price": "-1"}),
    ("updated_at_is_a_time", {"updated_at": "yesterday"}),
    ("changed_in_the_future", {"updated_at": "2026-12-24T18:00:00+01:00"}),
    *(
        ("not_a_web_address", {"url": url})
        for url in ("javascript:alert(1)", " javascript:alert(1)", "data:text/html,x", "ftp://a.example", "//x", "/x")
    ),
    *(
        ("not_a_web_address", {"picture": f"https://{rest}"})
        for rest in ("", "/x.jpg", "a.example/a b", 'a.example/"onerror=x', "a.example/\nx", "a" + "x" * 2000)
    ),
]


def test_rows_that_are_no_products_are_rejected_and_the_rest_published(till: Till, engine: Engine) -> None:
    good = [product(f"TEA-{number}") for number in range(30 * len(BAD))]  # so that the bad ones are few
    till.day(DAY, *good, *(product("X", **changes) for _, changes in BAD))
    assert rows(engine, "select rule from landing.rejections order by row_no") == [(rule,) for rule, _ in BAD]
    assert rows(engine, "select count(*) from shop.products") == [(len(good),)]


def test_an_address_on_the_web_is_kept_as_it_is(till: Till, engine: Engine) -> None:
    addresses = ["HTTPS://Shop.example:8080/a?b=c&d#e", "http://shop.example", "https://shop.example/ça%20va/(1)"]
    till.day(DAY, *(product(f"{number}", url=url) for number, url in enumerate(addresses)))
    assert rows(engine, "select url from shop.products order by product_ref") == [(url,) for url in addresses]


def test_what_no_suite_checks_still_breaks_a_rule(settings: Settings, engine: Engine, tmp_path: Path) -> None:
    include = tmp_path / "include"
    shutil.copytree(settings.include, include)
    suite = include / "expectations" / "demo_shop_products.yaml"
    suite.write_text("suite: demo_shop_products\nabout: Nothing is checked.\nrules: []\nbatch: []\n")
    bad = [product("A", margin="1.1"), product("B", margin="NaN"), product("C", price="1e12"), product("D", url="x:y")]
    till = Till(settings.evolve(include=include), engine)
    assert till.day(DAY, product(), product("x" * 1001), *bad).rejected == 5
    assert rows(engine, "select rule, count(*) from landing.rejections group by 1 order by 1") == [
        ("key_too_long", 1),
        ("not_a_web_address", 1),
        ("number_out_of_range", 3),
    ]
    assert rows(engine, MARGINS) == [("TEA-1", Decimal("0.4"))]


def test_products_may_come_as_parquet(settings: Settings, engine: Engine, tmp_path: Path) -> None:
    include = tmp_path / "include"
    shutil.copytree(settings.include, include)
    file = include / "sources" / "demo_shop.yaml"
    source = yaml.safe_load(file.read_text())
    source["feeds"]["products"] |= {"format": "parquet", "path": "{day}/products.parquet"}
    file.write_text(yaml.safe_dump(source))
    here = write_day(settings.local / "demo_shop", orders=[order("1")])
    table = pyarrow.Table.from_pylist([{**product(), "margin": 0.25}, {**product("CUP"), "margin": None}])
    pyarrow.parquet.write_table(table, here / "products.parquet")
    sync.sync(Shop(settings.evolve(include=include), engine), "demo_shop", DAY)
    assert rows(engine, MARGINS) == [("CUP", None), ("TEA-1", Decimal("0.25"))]
