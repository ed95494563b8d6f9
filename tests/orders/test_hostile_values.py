"""Every column of every source, told something hostile: accepted, rejected by a rule, or refused with a sentence.

The good files are made from what each source's YAML says and one good row here; then each column in turn, one of each
feed at a time, holds each hostile value, in a row of its own. The good rows are in the shop whatever is beside them.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
from shop_files import DAY, consent, customer, line, member, order, product, write_day
from sqlalchemy import Engine, text

from retention.core import database
from retention.core.errors import DataError
from retention.core.settings import Settings, from_environment
from retention.core.shop import Shop
from retention.orders import sources, sync
from retention.orders.sources import BLANKS, Feed, Source

SOURCES = sources.read_all(from_environment({}).include)
AT = datetime(2026, 11, 3, tzinfo=UTC)
GOOD = 400  # rows beside the hostile ones, so that those are few
INSTANTS = (
    "0001-01-01|0001-01-01T00:00:00Z|00010101|9999-12-31|9999-12-31T23:59:59+00:00|9999-12-31 23:59:59|99991231|"
    "10000-01-01T00:00:00Z|294276-12-31T23:59:59Z|294277-01-01T00:00:00Z|5874897-12-31|0044-03-15T00:00:00Z BC|"
    "0044-03-15 00:00:00 BC|-0001-01-01T00:00:00Z|infinity|-infinity|now|tomorrow|today|epoch|allballs|"
    "2026-02-30T00:00:00Z|2026-11-02T24:00:00Z|2026-11-02T25:00:00Z|2026-11-02T23:59:60Z|2026-11-02T12:00:00|"
    "2026-11-02T12:00:00+99:99|2026-11-02T12:00:00-15:59|2026-11-02T12:00:00 Nowhere/City|1969-12-31T23:59:59Z|"
    "1900-01-01T00:00:00Z|2040-01-01T00:00:00Z|20400101|2040-01-01 00:00:00|1792598400|45966.5|02/11/2026|"
    "J2451187|2026-W45-1|2026-306"
).split("|")
NUMBERS = (
    "NaN|nan|Infinity|-Infinity|inf|1e400|-1e400|1e-400|1e131071|1e999999999|99999999999.99|-0|-1|+1|1_000|0x1F|"
    "0b1|0o7|1,5|1.5.5|1e5| 1 |١|１|2147483647|2147483648|-2147483649|9223372036854775808|\u22121|12:30|$5|true|()"
).split("|")
NAMES = (
    "| |\t|null|NULL|\\N|\\.|'|\"|''|--|/*|'; drop table shop.orders; --|%s|%(a)s|:x|{{ x }}|{% x %}|${x}|$1|\\|"
    "\\x00|é|e\u0301|\u202e|\u200b|\ufeff|\U0001f600|日本語|ß|İ|\x01|\x7f|\x85|\u2028|../../etc/passwd|=1+1|@x|"
    "<script>|yes|no|YES|cancelled|complete|EUR|eur|€€€|ÀÉÏ|XXX|BC|AM|UTC|europe/amsterdam|+05:00|Z|email|sms|"
    "soft_opt_in|C1"
).split("|")
SIZES = ["x" * 61, "x" * 201, "x" * 1001, "x" * 3000, "é" * 3000, "9" * 3000, "0" * 200_000 + "1", "x" * 1_000_000]
HOSTILE = [*INSTANTS, *NUMBERS, *NAMES, *SIZES, "9" * 13, "9" * 100, "0." + "0" * 1000 + "1"]

DEMO = {
    "orders": lambda n: order(f"o{n}", f"C{n}"),
    "order_lines": lambda n: line(f"o{n}"),
    "customers": lambda n: customer(f"C{n}"),
    "consents": lambda n: consent(f"C{n}"),
    "list_members": lambda n: member(f"C{n}"),
    "products": lambda n: product(f"P{n}"),
}
CDNOW = ("customer", "customer_in_sample", "date", "cds", "dollars")


def good_row(source: Source, feed: Feed, number: int) -> dict[str, Any]:
    """A good row of a feed. A source that is new needs one here: then the walk includes it."""
    if source.name == "demo_shop":
        return dict(DEMO[feed.name](number))
    if source.name == "cdnow":
        return dict(zip(CDNOW, [f"{number:05d}", "0001", "19970101", "2", "29.33"], strict=True))
    assert source.name == "online_retail", f"write a good row of {source.name} here"
    values = [f"{number}", "85048", "Lights", "12", "2009-12-01 07:45:00", "6.95", f"C{number}", "United Kingdom"]
    return dict(zip(feed.columns, values, strict=True))


def rows_of(source: Source, feed: Feed, column: str | None) -> list[dict[str, Any]]:
    """Good rows, and in one column of others every hostile value."""
    good = [good_row(source, feed, number) for number in range(GOOD)]
    bad = [
        {**good_row(source, feed, GOOD + number), column: value}
        for number, value in enumerate(HOSTILE)
        if column is not None
    ]
    return good + bad


def content(feed: Feed, rows: list[dict[str, Any]]) -> bytes:
    if feed.format == "jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    if feed.delimiter == BLANKS:
        return "".join(" ".join(map(str, row.values())) + "\n" for row in rows).encode()
    out = io.StringIO()
    writer = csv.writer(out, delimiter=feed.delimiter, lineterminator="\n")
    if feed.header:
        writer.writerow(feed.columns)
    writer.writerows([row[name] for name in feed.columns] for row in rows)
    return out.getvalue().encode(feed.encoding)


def write(source: Source, folder: Path, hostile: dict[str, str]) -> None:
    """The files of a source, a column hostile of each feed that has one in `hostile`."""
    for feed in source.landed:
        path = folder / feed.path.replace("{day}", DAY.isoformat()).replace("*", "")
        path.parent.mkdir(parents=True, exist_ok=True)
        plain = content(feed, rows_of(source, feed, hostile.get(feed.name)))
        path.write_bytes(gzip.compress(plain) if path.suffix == ".gz" else plain)
    if source.marker:
        (folder / source.marker.replace("{day}", DAY.isoformat())).touch()


def walk(source: Source) -> Iterator[dict[str, str]]:
    """Each column of each feed once, one of each feed at a time."""
    for columns in zip_longest(*(feed.columns for feed in source.landed)):
        yield {feed.name: column for feed, column in zip(source.landed, columns, strict=True) if column}


WALK = [
    pytest.param(source, hostile, id=" ".join([source.name, *(f"{feed}.{name}" for feed, name in hostile.items())]))
    for source in SOURCES.values()
    for hostile in walk(source)
]


@pytest.fixture(scope="module")
def tolerant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's files, whose suites let any share of rows be rejected: here it is the rows that count."""
    include = tmp_path_factory.mktemp("walk") / "include"
    shutil.copytree(from_environment({}).include, include)
    for path in (include / "expectations").glob("*.yaml"):
        path.write_text(path.read_text().replace("at_most: 5%", "at_most: 90%").replace("at_most: 30%", "at_most: 90%"))
    return include


@pytest.mark.parametrize(("source", "hostile"), WALK)
def test_hostile_values_of_a_column_are_accepted_rejected_or_refused_and_the_good_rows_are_published(
    settings: Settings, engine: Engine, tolerant: Path, tmp_path: Path, source: Source, hostile: dict[str, str]
) -> None:
    folder = tmp_path / "files"
    write(source, folder, hostile)
    written = GOOD * len(source.landed) + len(HOSTILE) * len(hostile)
    own = settings.evolve(include=tolerant)
    counts = sync.load(Shop(own, engine), source.name, str(folder), at=AT)
    with engine.connect() as connection:
        orders = set(connection.execute(text("select order_ref from shop.orders")).scalars())
        odd = connection.execute(
            text(
                "select count(*) from shop.orders where not (ordered_at between '1990-01-01' and '2026-11-05'"
                " and updated_at between '1970-01-01' and '2026-11-05' and abs(total_reporting) < 1e12)"
            )
        ).scalar()
        zones = "select count(*) from shop.customers where time_zone not in (select name from pg_timezone_names)"
        assert connection.execute(text(zones)).scalar() == 0
    assert written - 3 * len(hostile) <= counts.landed == counts.accepted + counts.rejected
    assert odd == 0
    assert len(orders) >= GOOD
    if source.name == "demo_shop":
        assert {f"o{number}" for number in range(GOOD)} <= orders
        with engine.connect() as connection:
            for table in ("list_members", "products"):
                assert connection.execute(text(f"select count(*) from shop.{table}")).scalar_one() >= GOOD


@pytest.fixture
def unchecked(settings: Settings, tmp_path: Path) -> Settings:
    """The same sources by suites that check nothing: what is left is what holds for every source."""
    include = tmp_path / "include"
    shutil.copytree(settings.include, include)
    for path in (include / "expectations").glob("*.yaml"):
        path.write_text(f"suite: {path.stem}\nabout: Nothing is checked.\nrules: []\nbatch: []\n")
    return settings.evolve(include=include)


def broken_rules(engine: Engine) -> list[tuple[str, str]]:
    statement = (
        "select l.feed, r.rule from landing.rejections as r inner join landing.loads as l using (load_id) order by 1, 2"
    )
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e400", "1e12", "-1e12", "999999999999.999", "9" * 200]
)
def test_a_number_that_no_table_holds_is_rejected_whatever_the_suite_checks(unchecked: Settings, number: str) -> None:
    engine = database.connect(unchecked)
    write_day(
        unchecked.local / "demo_shop",
        orders=[order("1"), order("2", total=number), order("3", refunded=number), order("4", "C4", currency="GBP")],
        lines=[line("1"), line("1", 2, quantity=number), line("1", 3, unit_price=number), line("4")],
    )
    counts = sync.sync(Shop(unchecked, engine), "demo_shop", DAY)
    assert (counts.accepted, counts.rejected) == (4, 4)
    assert set(broken_rules(engine)) == {("orders", "number_out_of_range"), ("order_lines", "number_out_of_range")}


def test_an_amount_that_only_its_rate_makes_too_large_is_rejected(unchecked: Settings) -> None:
    engine = database.connect(unchecked)
    (unchecked.include / "rates.csv").write_text("currency,valid_from,rate\nKWD,2020-01-01,3000\n")
    large = {"total": "999999999.00", "currency": "KWD"}
    orders = [order("1"), order("2", **large), order("3", "C3", status="cancelled", **large)]
    write_day(unchecked.local / "demo_shop", orders=orders)
    assert sync.sync(Shop(unchecked, engine), "demo_shop", DAY).rejected == 2
    assert broken_rules(engine) == [("orders", "number_out_of_range")] * 2


@pytest.mark.parametrize("number", ["NaN", "1e400"])
def test_an_order_made_of_lines_goes_whole_with_a_line_that_no_table_holds(
    unchecked: Settings, tmp_path: Path, number: str
) -> None:
    engine = database.connect(unchecked)
    header = "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,CustomerID,Country\n"
    lines = [
        f"{ref},A,Tea,{q},2010-12-01 08:26:00,{p},C{ref},UK\n"
        for ref, q, p in [
            (1, "1", "2.55"),
            (2, "1", "2.55"),
            (2, number, "0"),
            (3, "0", number),
            (3, "1", "1"),
            (4, "1", "1"),
        ]
    ]
    (tmp_path / "online_retail_1.csv").write_text(header + "".join(lines))
    counts = sync.load(Shop(unchecked, engine), "online_retail", str(tmp_path))
    assert (counts.accepted, counts.rejected, counts.orders_inserted) == (2, 4, 2)
    assert broken_rules(engine) == [("orders", "number_out_of_range")] * 4


def test_a_key_that_no_index_holds_is_rejected_whatever_the_suite_checks(unchecked: Settings) -> None:
    engine = database.connect(unchecked)
    long = "".join(f"{number:x}" for number in range(3000))
    write_day(
        unchecked.local / "demo_shop",
        orders=[order("1"), order(long), order("3", customer=long)],
        lines=[line("1"), line(long)],
        consents=[consent("C1"), consent("C1", purpose=long), consent("C1", purpose=long, granted="no")],
    )
    counts = sync.sync(Shop(unchecked, engine), "demo_shop", DAY)
    assert (counts.accepted, counts.rejected) == (4, 4)
    assert {rule for _, rule in broken_rules(engine)} == {"key_too_long"}


def test_a_row_that_a_table_refuses_is_one_sentence_that_quotes_nothing(unchecked: Settings) -> None:
    engine = database.connect(unchecked)
    hostile: list[dict[str, Any]] = [
        {"orders": [order("1", status="on its way")]},
        {"orders": [order("")]},
    ]
    for rows in hostile:
        write_day(unchecked.local / "demo_shop", **rows)
        with pytest.raises(DataError, match=r"add a rule that rejects it. Nothing was published.") as refused:
            sync.sync(Shop(unchecked, engine), "demo_shop", DAY)
        assert "on its way" not in str(refused.value)
