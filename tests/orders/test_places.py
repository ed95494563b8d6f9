"""Places and formats that cannot be read or written: one sentence that says what to do, never a traceback."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import yaml
from fsspec.registry import _registry as opened_before
from shop_files import CUSTOMERS, DAY, ORDERS, customer, order, write_day
from sqlalchemy import Engine, text

from retention.core.errors import DataError, DeliveryError, ExpectationFailed, InputError, NotReady, RetentionError
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.delivery.exports import writing as exports
from retention.orders import sync


@pytest.fixture
def own(settings: Settings, tmp_path: Path) -> Settings:
    """Settings with a copy of the files that tests may change."""
    include = tmp_path / "include"
    shutil.copytree(settings.include, include)
    return settings.evolve(include=include)


def change(own: Settings, feed: str = "orders", **changes: object) -> None:
    path = own.include / "sources" / "demo_shop.yaml"
    content = yaml.safe_load(path.read_text())
    content["feeds"][feed] |= changes
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def values(engine: Engine, statement: str) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(text(statement)).scalars())


def sentence(call: Callable[[], object]) -> str:
    """What `call` was refused with; nothing if it was not."""
    try:
        call()
    except RetentionError as problem:
        return str(problem)
    return ""


# --- where files are -------------------------------------------------------------------------------------------------

PLACES = [
    ("s3://bucket/exports", "pip install s3fs"),
    ("gs://bucket/exports", "pip install gcsfs"),
    ("abfs://box/exports", "pip install adlfs"),
    ("foo://bucket/exports", "'foo' is no kind of place; write a folder, or a URL .* s3"),
]


@pytest.mark.parametrize(("url", "what"), PLACES)
def test_a_place_that_needs_a_package_or_is_of_no_known_kind_is_one_sentence(
    settings: Settings, engine: Engine, url: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for scheme, package in (("s3", "s3fs"), ("gs", "gcsfs")):  # installed here, so that their own tests can run
        monkeypatch.setitem(sys.modules, package, None)
        monkeypatch.delitem(opened_before, scheme, raising=False)
    with pytest.raises(InputError, match=what):
        sync.sync(Shop(settings, engine), "demo_shop", DAY, url)
    with pytest.raises(InputError, match=what):
        sync.load(Shop(settings, engine), "cdnow", url)
    with pytest.raises(InputError, match=f"RETENTION_AUDIENCES.*{what}"):
        exports.place(settings.evolve(audiences=url))


@pytest.fixture
def refusing() -> Iterator[str]:
    """An address at which nobody listens."""
    with socket.socket() as kept:
        kept.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{kept.getsockname()[1]}"


@pytest.mark.parametrize("kind", ["http", "ftp"])
def test_a_place_that_does_not_answer_is_waited_for(
    settings: Settings, engine: Engine, refusing: str, kind: str
) -> None:
    with pytest.raises(NotReady, match=re.escape(refusing)):
        sync.sync(Shop(settings, engine), "demo_shop", DAY, f"{kind}://{refusing}/shop")


class _Broken(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(500)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass


def test_a_place_that_answers_with_an_error_is_waited_for(settings: Settings, engine: Engine) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Broken)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        with pytest.raises(NotReady, match="shop"):
            sync.sync(Shop(settings, engine), "demo_shop", DAY, f"http://127.0.0.1:{server.server_port}/shop")
    finally:
        server.shutdown()


def test_exports_that_cannot_be_written_say_where(settings: Settings, engine: Engine, refusing: str) -> None:
    export = exports.Export(
        campaign="c",
        known_as="c",
        step="s",
        number=1,
        channel="audience",
        day=DAY,
        exported_at=datetime(2026, 11, 3, tzinfo=UTC),
        added=0,
        removed=0,
        written_at=None,
    )
    (settings.local / "a file").write_text("")
    for place in (f"ftp://{refusing}/x", f"{settings.local}/a file/below", "http://127.0.0.1:1/x"):
        with pytest.raises(DeliveryError, match="RETENTION_AUDIENCES"):
            exports.write(Shop(settings.evolve(audiences=place), engine), export, [], datetime(2026, 11, 3, tzinfo=UTC))


@pytest.mark.parametrize("day", ["2026-02-30", "2026-13-45", "9999-12-31", "0000-01-01"])
def test_a_path_that_names_no_day_of_the_calendar_is_named(settings: Settings, engine: Engine, day: str) -> None:
    here = write_day(settings.local / "demo_shop", orders=[order("1")])
    here.rename(here.with_name(day))
    with pytest.raises(DataError, match=f"{day}/customers|{day}/orders"):
        sync.load(Shop(settings, engine), "demo_shop", str(settings.local / "demo_shop"))


# --- Parquet ---------------------------------------------------------------------------------------------------------


def _parquet(own: Settings, table: Any, **options: Any) -> Path:
    change(own, format="parquet", path="{day}/orders.parquet")
    here = write_day(own.local / "demo_shop")
    pyarrow.parquet.write_table(table, here / "orders.parquet", **options)
    return here / "orders.parquet"


@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
def test_a_damaged_page_of_a_parquet_file_is_one_sentence(own: Settings, engine: Engine, compression: str) -> None:
    table = pyarrow.Table.from_pylist([order(f"{n}", coupon=f"{n * 7919}") for n in range(5000)])
    path = _parquet(own, table, compression=compression, use_dictionary=False, write_page_checksum=True)
    content = path.read_bytes()
    said = []
    for start in range(100, len(content) - 3000, len(content) // 5):
        path.write_bytes(content[:start] + b"\xff" * 64 + content[start + 64 :])
        said.append(sentence(lambda: sync.sync(Shop(own, engine), "demo_shop", DAY)))
    assert any("orders.parquet cannot be read to its end" in each for each in said)
    path.write_bytes(content[:50] + b"\xff" * 64 + content[114:])
    with pytest.raises(DataError, match=r"orders.parquet cannot be read to its end .*deliver it again"):
        sync.sync(Shop(own, engine), "demo_shop", DAY)


def _column(name: str, array: Any) -> Any:
    table = pyarrow.Table.from_pylist([order("1"), order("2")])
    return table.set_column(ORDERS.index(name), name, array) if name in ORDERS else table.append_column(name, array)


ODD = {
    "nested": lambda: _column("coupon", pyarrow.array([{"a": [1, None]}, None])),
    "lists of times": lambda: _column("coupon", pyarrow.array([[1], [2**62]], pyarrow.list_(pyarrow.timestamp("ns")))),
    "lists of far times": lambda: _column(
        "coupon", pyarrow.array([[2**62]] * 2, pyarrow.list_(pyarrow.timestamp("ms")))
    ),
    "map": lambda: _column("coupon", pyarrow.array([[("a", 1)], []], pyarrow.map_(pyarrow.string(), pyarrow.int64()))),
    "binary": lambda: _column("coupon", pyarrow.array([b"\xff\xfe", b"ok"])),
    "nothing": lambda: _column("coupon", pyarrow.nulls(2)),
    "dictionary": lambda: _column("store", pyarrow.array(["web", "web"]).dictionary_encode()),
    "decimal": lambda: _column("total", pyarrow.array([Decimal("12.34"), Decimal("-1e20")], pyarrow.decimal128(38, 2))),
    "float": lambda: _column("total", pyarrow.array([float("nan"), 1e300])),
    "half": lambda: _column("total", pyarrow.array([1.5, 2.5], pyarrow.float32()).cast(pyarrow.float16())),
    "duration": lambda: _column("coupon", pyarrow.array([1, 2], pyarrow.duration("us"))),
    "time": lambda: _column("coupon", pyarrow.array([1, 2], pyarrow.time64("ns"))),
    "date": lambda: _column("coupon", pyarrow.array([date(1, 1, 1), date(9999, 12, 31)])),
    "far date": lambda: _column("coupon", pyarrow.array([2**31 - 1, -(2**31)], pyarrow.int32()).cast(pyarrow.date32())),
    "far time": lambda: _column("created_at", pyarrow.array([2**62, -(2**62)], pyarrow.timestamp("ms", "UTC"))),
    "unknown zone": lambda: _column("created_at", pyarrow.array([0, 1], pyarrow.timestamp("us", "Nowhere/City"))),
    "large text": lambda: _column("coupon", pyarrow.array(["a", "b"], pyarrow.large_string())),
    "view": lambda: _column("coupon", pyarrow.array(["a", "b"], pyarrow.string_view())),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_types_of_a_parquet_file_are_text_or_one_sentence(own: Settings, engine: Engine, name: str) -> None:
    good = pyarrow.Table.from_pylist([order("3")])
    odd = ODD[name]()
    for column, kind in zip(odd.schema.names, odd.schema.types, strict=True):
        if kind != pyarrow.string():
            place = good.schema.names.index(column)
            good = good.set_column(place, column, pyarrow.nulls(1, kind))
    path = _parquet(own, odd)
    try:
        counts = sync.sync(Shop(own, engine), "demo_shop", DAY)
        assert counts.landed == 2
    except ExpectationFailed:  # all of two rows are rejected
        assert values(engine, "select count(distinct row_no) from landing.rejections") == [2]
    assert path.exists()


def test_a_time_with_a_zone_in_a_parquet_file_is_the_same_instant(own: Settings, engine: Engine) -> None:
    noon = datetime(2026, 11, 2, 12, tzinfo=UTC)
    table = _column("created_at", pyarrow.array([noon, noon], pyarrow.timestamp("us", "America/New_York")))
    _parquet(own, table)
    assert sync.sync(Shop(own, engine), "demo_shop", DAY).orders_inserted == 2
    assert values(engine, "select distinct ordered_at from shop.orders") == [noon]


# --- encodings and delimiters ----------------------------------------------------------------------------------------

ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1", "windows-1252"]


@pytest.mark.parametrize("declared", ["utf-8", "utf-16", "latin-1", "windows-1252", "windows-1250", "iso-8859-15"])
@pytest.mark.parametrize("actual", ENCODINGS)
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_wrong_encoding_is_one_sentence_or_rejected_rows(
    own: Settings, engine: Engine, declared: str, actual: str, kind: str
) -> None:
    rows = [order(f"{n}", coupon="Café €" if actual[:3] == "utf" else "Café") for n in range(40)]
    change(own, format=kind, encoding=declared, path="{day}/orders." + kind)
    here = write_day(own.local / "demo_shop", orders=rows)
    content = (here / "orders.csv").read_text()
    if kind == "jsonl":
        content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (here / "orders.csv").unlink()
    (here / f"orders.{kind}").write_bytes(content.encode(actual))
    right = {"utf-8-sig": "utf-8"}.get(actual, actual)
    if right == declared or (declared == "utf-16" and actual == "utf-16-le"):
        assert sync.sync(Shop(own, engine), "demo_shop", DAY).orders_inserted == 40
        assert values(engine, "select distinct coupon_code from shop.orders") == [rows[0]["coupon"]]
        return
    said = sentence(lambda: sync.sync(Shop(own, engine), "demo_shop", DAY))
    if actual.startswith("utf-16"):
        assert "write `encoding: utf-16`" in said
    elif said:
        assert "orders" in said
    else:  # its bytes mean something in the other encoding too
        assert values(engine, "select count(*) from shop.orders") == [40]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", " ", ":", "^", "~", "-", "_", "#", "blanks"])
def test_a_wrong_delimiter_is_one_sentence(own: Settings, engine: Engine, delimiter: str) -> None:
    change(own, delimiter=delimiter)
    write_day(own.local / "demo_shop", orders=[order("1"), order("2")])
    if delimiter == ",":
        assert sync.sync(Shop(own, engine), "demo_shop", DAY).orders_inserted == 2
        return
    with pytest.raises(DataError, match=r"line 1: column .* is missing"):
        sync.sync(Shop(own, engine), "demo_shop", DAY)


@pytest.mark.parametrize("delimiter", ['"', "a", "Z", "0", ".", "\\", "\n", "\r", "§", "→", "", ",,"])
def test_a_sign_that_cannot_part_columns_is_refused_in_the_source(
    own: Settings, engine: Engine, delimiter: str
) -> None:
    change(own, delimiter=delimiter)
    write_day(own.local / "demo_shop", orders=[order("1")])
    with pytest.raises(InputError, match=r"demo_shop.yaml.* delimiter"):
        sync.sync(Shop(own, engine), "demo_shop", DAY)


# --- JSON lines ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_byte_order_mark_before_json_lines_costs_no_row(
    settings: Settings, engine: Engine, pack: Callable[[bytes], bytes]
) -> None:
    here = write_day(settings.local / "demo_shop", orders=[order("1")])
    content = "".join(json.dumps(customer(ref)) + "\n" for ref in ("C1", "C2")).encode("utf-8-sig")
    suffix = "" if pack is bytes else ".gz"
    (here / f"customers.jsonl{suffix}").write_bytes(pack(content))
    assert sync.sync(Shop(settings, engine), "demo_shop", DAY).rejected == 0
    assert values(engine, "select customer_ref from shop.customers where email is not null order by 1") == ["C1", "C2"]
    assert len(CUSTOMERS) == 14


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_json_lines_in_utf_16_are_one_sentence(settings: Settings, engine: Engine, encoding: str) -> None:
    here = write_day(settings.local / "demo_shop", orders=[order("1")])
    (here / "customers.jsonl").write_bytes((json.dumps(customer("C1")) + "\n").encode(encoding))
    with pytest.raises(DataError, match="the file is UTF-16; write `encoding: utf-16` for feed customers"):
        sync.sync(Shop(settings, engine), "demo_shop", DAY)
