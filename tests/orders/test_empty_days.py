"""A day without orders: half the shop would look lapsed, so it stops, unless the source says that it may be."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow
import pyarrow.parquet
import pytest
import yaml
from shop_files import DAY, ORDERS, customer, line, order, write_day
from sqlalchemy import Engine, text

from retention.core import database
from retention.core.errors import ExpectationFailed, RetentionError
from retention.core.settings import Settings
from retention.core.shop import Shop, opened
from retention.demo import generator as demo
from retention.orders import sync

HEADER = ",".join(ORDERS) + "\n"


@pytest.fixture
def own(settings: Settings, tmp_path: Path) -> Settings:
    """Settings with a copy of the files that tests may change."""
    include = tmp_path / "include"
    shutil.copytree(settings.include, include)
    return settings.evolve(include=include)


def feed(own: Settings, **changes: object) -> None:
    path = own.include / "sources" / "demo_shop.yaml"
    content = yaml.safe_load(path.read_text())
    content["feeds"]["orders"] |= changes
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def shop_is_untouched(own: Settings) -> bool:
    with database.connect(own).connect() as connection:
        counts = "select (select count(*) from shop.customers) + (select count(*) from shop.days where state = 'done')"
        return connection.execute(text(counts)).scalar() == 0


def _csv(path: Path) -> None:
    path.write_text(HEADER)


def _gz(path: Path) -> None:
    path.with_name("orders.csv.gz").write_bytes(gzip.compress(HEADER.encode()))


def _jsonl(path: Path) -> None:
    path.with_name("orders.jsonl").write_text("")


def _blank_jsonl(path: Path) -> None:
    path.with_name("orders.jsonl").write_text("\n\n")


def _parquet(path: Path) -> None:
    empty = pyarrow.Table.from_pylist([order("1")]).slice(0, 0)
    pyarrow.parquet.write_table(empty, path.with_name("orders.parquet"))


@pytest.mark.parametrize(
    ("write", "kind"),
    [(_csv, "csv"), (_gz, "csv"), (_jsonl, "jsonl"), (_blank_jsonl, "jsonl"), (_parquet, "parquet")],
)
def test_a_day_whose_file_of_orders_is_empty_stops_before_anything_is_published(
    own: Settings, write: Callable[[Path], None], kind: str
) -> None:
    feed(own, format=kind, path="{day}/orders." + kind)
    here = write_day(own.local / "demo_shop", customers=[customer("C1")])
    (here / "orders.csv").unlink()
    write(here / "orders.csv")
    for _ in range(2):  # landed already, it stops again
        with pytest.raises(RetentionError, match=r"not_empty: its files hold no row|is empty") as stopped:
            sync.sync(opened(own), "demo_shop", DAY)
        assert "rows" not in str(stopped.value).partition("hold no row")[2]
    assert shop_is_untouched(own)


def test_a_day_whose_orders_are_all_rejected_stops_too(own: Settings) -> None:
    write_day(own.local / "demo_shop", orders=[order("1", total="x"), order("2", created_at="9999-12-31T00:00:00Z")])
    with pytest.raises(ExpectationFailed, match=r"all 2 rows are rejected, mostly by in_the_future \(1\), total_is_a_"):
        sync.sync(opened(own), "demo_shop", DAY)
    assert shop_is_untouched(own)


def test_a_day_may_pass_without_orders_where_the_source_says_so(own: Settings, engine: Engine) -> None:
    feed(own, may_be_empty=True)
    write_day(own.local / "demo_shop", customers=[customer("C1")])
    counts = sync.sync(Shop(own, engine), "demo_shop", DAY)
    assert (counts.landed, counts.customers_touched) == (1, 1)


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_a_file_of_json_lines_without_a_line_is_an_empty_day_where_the_source_says_so(
    own: Settings, engine: Engine, content: str
) -> None:
    feed(own, may_be_empty=True, format="jsonl", path="{day}/orders.jsonl")
    here = write_day(own.local / "demo_shop", customers=[customer("C1")])
    (here / "orders.jsonl").write_text(content)
    assert sync.sync(Shop(own, engine), "demo_shop", DAY).landed == 1


def test_a_day_without_lines_or_customers_goes_on(settings: Settings, engine: Engine) -> None:
    write_day(settings.local / "demo_shop", orders=[order("1")])
    assert sync.sync(Shop(settings, engine), "demo_shop", DAY).orders_inserted == 1


def test_a_history_without_orders_is_no_day(own: Settings, engine: Engine) -> None:
    write_day(own.local / "demo_shop", lines=[line("1")])
    assert sync.load(Shop(own, engine), "demo_shop", str(own.local / "demo_shop")).orders_inserted == 0


@pytest.mark.parametrize("customers", [1, 3])
def test_the_demo_shop_sells_something_every_day_however_small_it_is(tmp_path: Path, customers: int) -> None:
    zone = ZoneInfo("Europe/Amsterdam")
    demo.generate(tmp_path, customers=customers, days=120, until=date(2026, 6, 1), zone=zone, bad_share=0)
    for number in range(120):
        day = date(2026, 6, 1) - timedelta(days=number)
        assert len((tmp_path / day.isoformat() / "orders.csv").read_text().splitlines()) > 1
