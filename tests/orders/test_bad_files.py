"""Bad files and bad rows: a clear error or a rejection, nothing good lost, the shop as it was before."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from shop_files import DAY, ORDERS, consent, customer, line, order, write_day
from sqlalchemy import Engine, text

from retention.core.errors import DataError, ExpectationFailed, NotReady, StateError
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.orders import files as files_of
from retention.orders import sync
from retention.orders.publishing import SyncCounts


def rows(engine: Engine, statement: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def rejections(engine: Engine) -> list[tuple[Any, ...]]:
    return rows(engine, "select file, row_no, rule from landing.rejections order by 1, 2, 3")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "demo_shop"


@pytest.fixture
def run(settings: Settings, engine: Engine) -> Callable[[], SyncCounts]:
    return lambda: sync.sync(Shop(settings, engine), "demo_shop", DAY)


Run = Callable[[], SyncCounts]
FILE = f"{DAY}/orders.csv"


def csv_row(*changes: tuple[str, str], ref: str = "9") -> str:
    return ",".join({**order(ref), **dict(changes)}.values()) + "\n"


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"total": "1.234,56"}, "total_is_a_number"),
        ({"total": "NaN"}, "total_is_a_number"),
        ({"total": "-5.00"}, "total_is_not_negative"),
        ({"created_at": "31/02/2011"}, "created_at_is_a_time"),
        ({"created_at": "now"}, "created_at_is_a_time"),
        ({"created_at": "2026-02-31T10:00:00+01:00"}, "created_at_is_a_time"),
        ({"created_at": "2031-01-01T10:00:00+01:00"}, "in_the_future"),
        ({"updated_at": "infinity"}, "updated_at_is_a_time"),
        ({"status": "on its way"}, "status_is_known"),
        ({"customer_id": ""}, "customer_is_present"),
        ({"order_id": ""}, "order_id_is_present"),
        ({"currency": "EURO"}, "currency_is_a_code"),
        ({"coupon": "x" * 10_000_000}, "field_too_long"),
        ({"total": "9" * 10_000_000}, "total_is_a_number"),
    ],
)
def test_a_bad_value_is_a_rejection_with_its_rule(
    run: Run, engine: Engine, folder: Path, changes: dict[str, str], rule: str
) -> None:
    write_day(folder, orders=[order("1"), {**order("2"), **changes}])
    counts = run()
    assert (counts.landed, counts.accepted, counts.rejected, counts.orders_inserted) == (2, 1, 1, 1)
    assert rejections(engine) == [(FILE, 2, rule)]
    assert rows(engine, "select max(length(cast(row_text as text))) < 5000 from landing.rejections") == [(True,)]


@pytest.mark.parametrize(
    ("bad", "rule"),
    [
        (csv_row().strip() + ",gift\n", "too_many_fields"),
        ("only,three,fields\n", "too_few_fields"),
        (csv_row(("coupon", "a\0b")), "nul_byte"),
        (csv_row(("coupon", "caf\udce9")), "bad_encoding"),
        (csv_row(("coupon", '"never closed')), "unterminated_quote"),
    ],
)
def test_a_row_that_cannot_be_landed_is_a_rejection_and_the_rest_is_landed(
    run: Run, engine: Engine, folder: Path, bad: str, rule: str
) -> None:
    here = write_day(folder)
    content = ",".join(ORDERS) + "\n" + csv_row(ref="1") + bad + csv_row(ref="2") + csv_row(ref="3")
    (here / "orders.csv").write_bytes(content.encode("utf-8", "surrogateescape"))
    counts = run()
    assert (counts.landed, counts.accepted, counts.orders_inserted) == (4, 3, 3)
    assert rejections(engine) == [(FILE, 2, rule)]


def test_a_row_far_too_long_is_a_rejection(run: Run, engine: Engine, folder: Path) -> None:
    write_day(folder, text=csv_row(ref="1") + "x" * (20 << 20) + "\n" + csv_row(ref="2"))
    assert run().orders_inserted == 2
    assert rejections(engine) == [(FILE, 2, "row_too_long")]


def test_a_stray_quote_does_not_glue_rows_together(run: Run, engine: Engine, folder: Path) -> None:
    write_day(folder, text=csv_row(("coupon", '5" PIPE'), ref="1") + csv_row(("coupon", '6" PIPE'), ref="2"))
    assert run().orders_inserted == 2
    assert rows(engine, "select coupon_code from shop.orders order by 1") == [('5" PIPE',), ('6" PIPE',)]


def test_a_line_break_in_quotes_is_part_of_the_field(run: Run, engine: Engine, folder: Path) -> None:
    write_day(folder, orders=[order("1")], lines=[line("1", name='Tea,\nthe "good" one'), line("1", 2)])
    assert run().rejected == 0
    assert rows(engine, "select description from shop.order_lines order by line_no") == [
        ('Tea,\nthe "good" one',),
        ("Tea",),
    ]


def test_an_end_of_data_mark_of_copy_is_only_a_bad_row(run: Run, engine: Engine, folder: Path) -> None:
    write_day(folder, text=csv_row(ref="1") + "\\.\n" + csv_row(ref="2"))
    assert run().orders_inserted == 2
    assert rejections(engine) == [(FILE, 2, "too_few_fields")]


def test_blank_lines_and_windows_line_ends_are_no_rows(run: Run, engine: Engine, folder: Path) -> None:
    here = write_day(folder)
    content = ",".join(ORDERS) + "\r\n" + csv_row(ref="1").strip() + "\r\n\r\n" + csv_row(ref="2").strip() + "\r\n\r\n"
    (here / "orders.csv").write_bytes(b"\xef\xbb\xbf" + content.encode())
    assert run().landed == 2


def test_an_sql_fragment_is_a_value_like_any_other(run: Run, engine: Engine, folder: Path) -> None:
    evil = "'; drop table shop.orders; --"
    write_day(folder, orders=[order("1", coupon=evil)], customers=[customer("C1", first_name="%s {{ x }} :y")])
    run()
    assert rows(engine, "select coupon_code from shop.orders") == [(evil,)]
    assert rows(engine, "select first_name from shop.customers") == [("%s {{ x }} :y",)]


@pytest.mark.parametrize(
    "line_of_json", ["{not json", "[1, 2]", '{"customer_id": "C\\u0000"}', '{"load_key": "x"}', '"text"']
)
def test_a_bad_line_of_json_is_a_rejection(run: Run, engine: Engine, folder: Path, line_of_json: str) -> None:
    here = write_day(folder, orders=[order("1")], customers=[customer("C1")])
    with (here / "customers.jsonl").open("a") as file:
        file.write(line_of_json + "\n" + json.dumps(customer("C2")) + "\n")
    counts = run()
    assert (counts.landed, counts.rejected) == (4, 1)
    assert rejections(engine)[0][:2] == (f"{DAY}/customers.jsonl", 2)
    assert rows(engine, "select count(*) from shop.customers") == [(2,)]


@pytest.mark.parametrize("begins", [b"\0", b"\0\0", b"\0" * 5000, b"{\0"])
def test_a_nul_byte_at_the_beginning_of_json_lines_is_a_rejection(
    run: Run, engine: Engine, folder: Path, begins: bytes
) -> None:
    here = write_day(folder, orders=[order("1")])
    lines = [json.dumps(customer(ref)).encode() for ref in ("C1", "C2")]
    (here / "customers.jsonl").write_bytes(begins + b"\n".join(lines))
    assert run().rejected == 1
    assert rejections(engine) == [(f"{DAY}/customers.jsonl", 1, "nul_byte")]
    assert rows(engine, "select customer_ref from shop.customers where email is not null") == [("C2",)]


def test_a_nul_byte_at_the_beginning_of_a_header_is_not_told_to_be_utf_16(run: Run, folder: Path) -> None:
    here = write_day(folder, orders=[order("1")])
    (here / "orders.csv").write_bytes(b"\0" + (here / "orders.csv").read_bytes())
    with pytest.raises(DataError, match=r"orders\.csv, line 1: column order_id is missing.* found: '\\x00order_id'"):
        run()


def test_an_extra_column_is_landed_and_reported(run: Run, engine: Engine, folder: Path) -> None:
    here = write_day(folder)
    (here / "orders.csv").write_text(",".join(ORDERS) + ",gift: 50%\n" + csv_row(ref="1").strip() + ",mug\n")
    assert run().orders_inserted == 1
    assert rows(engine, 'select "gift\\: 50%" from landing.demo_shop_orders') == [("mug",)]
    (failed,) = rows(
        engine,
        "select r -> 'result' -> 'details' -> 'mismatched' "
        "from landing.validations, jsonb_array_elements(results -> 'results') r "
        "where not cast(r ->> 'success' as boolean)",
    )
    assert failed == ({"unexpected": ["gift: 50%"]},)


def _break_header(change: Callable[[str], str]) -> Callable[[Path], None]:
    def apply(here: Path) -> None:
        path = here / "orders.csv"
        path.write_text(change(path.read_text()))

    return apply


@pytest.mark.parametrize(
    ("broken", "error", "message"),
    [
        (_break_header(lambda content: ""), DataError, "orders.csv is empty; expected columns: order_id"),
        (_break_header(lambda content: content.replace(",", ";")), DataError, "is the delimiter ',' right"),
        (
            _break_header(lambda content: content.replace("total", "amount", 1)),
            DataError,
            "line 1: column total is missing",
        ),
        (_break_header(lambda content: content.replace("coupon", "total", 1)), DataError, "coupon is missing"),
        (
            _break_header(lambda content: content.replace("store", "store,store", 1)),
            DataError,
            "'store' stands there twice",
        ),
        (lambda here: (here / "orders.csv").write_bytes("order_id,total\n1,2\n".encode("utf-16")), DataError, "UTF-16"),
        (lambda here: (here / "orders.csv").unlink(), NotReady, f"no file {DAY}/orders.csv"),
        (lambda here: (here / "_COMPLETE").unlink(), NotReady, "is not complete"),
        (
            lambda here: (here / "consents.csv.gz").write_bytes(gzip.compress(b"x" * 10_000)[:20]),
            DataError,
            "truncated",
        ),
        (
            lambda here: (here / "consents.csv.gz").write_bytes(b"no gzip at all"),
            DataError,
            "consents.csv.gz cannot be read",
        ),
        (lambda here: (here / "customers.jsonl").write_text(""), DataError, "customers.jsonl is empty"),
        (lambda here: (here / "customers.jsonl").write_text('{"customer_id": "1"}\n'), DataError, "no row has email"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_and_the_shop_stays_as_it_was(
    run: Run, engine: Engine, folder: Path, broken: Callable[[Path], None], error: type[Exception], message: str
) -> None:
    here = write_day(
        folder, orders=[order("1")], lines=[line("1")], customers=[customer("C1")], consents=[consent("C1")]
    )
    broken(here)
    with pytest.raises(error, match=message):
        run()
    assert rows(engine, "select count(*) from shop.orders") == [(0,)]
    assert rows(engine, "select state from shop.days") == [("failed",)]


def test_a_failed_landing_leaves_the_earlier_one(run: Run, engine: Engine, folder: Path) -> None:
    here = write_day(folder, orders=[order("1")])
    first = run()
    (here / "orders.csv").write_text("order_id\n1\n")
    with pytest.raises(DataError):
        run()
    assert rows(engine, "select order_id from landing.demo_shop_orders") == [("1",)]
    assert rows(engine, "select state, counts from shop.days") == [("done", first.counts())]


def test_a_file_that_grows_while_it_is_read_is_not_ready(
    settings: Settings, engine: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = write_day(folder, orders=[order("1")])
    found = files_of.find

    def find_and_grow(*arguments: Any) -> Any:
        files = found(*arguments)
        with (here / "orders.csv").open("a") as file:
            file.write(csv_row(ref="2"))
        return files

    monkeypatch.setattr(files_of, "find", find_and_grow)
    with pytest.raises(NotReady, match="still being written"):
        sync.sync(Shop(settings, engine), "demo_shop", DAY)


def _zstd(content: bytes) -> bytes:
    with pyarrow.BufferOutputStream() as out:
        with pyarrow.CompressedOutputStream(out, "zstd") as stream:
            stream.write(content)
        return bytes(out.getvalue())


@pytest.mark.parametrize(
    ("suffix", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress), (".zst", _zstd)]
)
def test_compressed_files_are_unpacked_by_their_suffix(
    settings: Settings, engine: Engine, tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    content = (",".join(ORDERS) + "\n" + csv_row(ref="1")).encode()
    path = tmp_path / f"orders.csv{suffix}"
    path.write_bytes(pack(content))
    assert sync.load(Shop(settings, engine), "demo_shop", str(path)).orders_inserted == 1


def test_the_stored_result_says_how_many_rows_may_be_rejected_as_the_suite_does(
    run: Run, engine: Engine, folder: Path
) -> None:
    write_day(folder, orders=[order("1")])
    run()
    asked = (
        "select r -> 'expectation_config' -> 'meta' -> 'asked' from landing.validations,"
        " jsonb_array_elements(results -> 'results') as r"
        " where r -> 'expectation_config' -> 'meta' ->> 'rule' = 'rejected_share' and suite = 'demo_shop_orders'"
    )
    assert rows(engine, asked) == [({"at_most": "5%", "tolerate": 10},)]


def test_too_many_rejections_stop_the_day(run: Run, engine: Engine, folder: Path) -> None:
    write_day(folder, orders=[order(f"{n}", total="x" if n % 2 else "1.00") for n in range(60)])
    with pytest.raises(ExpectationFailed, match=r"rejected_share: 30 of 60 rows .* total_is_a_number \(30\)"):
        run()
    assert rows(engine, "select count(*) from shop.orders") == [(0,)]
    assert rows(engine, "select success from landing.validations") == [(False,)]
    assert len(rejections(engine)) == 30


def test_rows_that_publishing_rejects_are_named_by_rule_in_the_failure_and_in_the_log(
    run: Run, engine: Engine, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "retention")
    write_day(
        folder, orders=[order(f"{n}", created_at=f"{2031 if n % 2 else 2025}-01-01T00:00:00Z") for n in range(60)]
    )
    with pytest.raises(ExpectationFailed, match=r"rejected_share: 30 of 60 rows .*; mostly by in_the_future \(30\)\."):
        run()
    assert (
        f"demo_shop orders {DAY}: 60 rows landed, 30 accepted, 30 rejected, mostly by in_the_future (30)"
        in caplog.messages
    )
    assert not [told for told in caplog.messages if " orders " in told and " 0 rejected" in told]


def test_a_short_load_stops_the_day(run: Run, engine: Engine, folder: Path) -> None:
    with engine.begin() as connection:
        connection.execute(
            text(
                "insert into landing.loads (source, feed, load_key, day, files, landed, accepted, rejected) "
                "select 'demo_shop', 'orders', 'w' || n, date '2026-11-02' - 7 * n, '[]', 200, 200, 0 "
                "from generate_series(1, 3) n"
            )
        )
    write_day(folder, orders=[order(f"{n}") for n in range(20)])
    with pytest.raises(ExpectationFailed, match="row_count_like_weekday: 20 was found, expected at least 70"):
        run()
    assert rows(engine, "select count(*) from shop.orders") == [(0,)]


def test_a_stale_file_stops_the_day(run: Run, folder: Path) -> None:
    write_day(folder, orders=[order("1", day=date(2026, 10, 1))])
    with pytest.raises(ExpectationFailed, match="newest_row_is_recent"):
        run()


def test_an_order_that_changes_its_customer_is_rejected(run: Run, engine: Engine, folder: Path) -> None:
    write_day(folder, orders=[order("1", "C1"), order("1", "C2"), order("2", "C3")])
    assert run().orders_inserted == 2
    assert rejections(engine) == [(FILE, 2, "customer_changed")]
    write_day(folder, orders=[order("1", "C1"), order("2", "C4")])
    assert run().orders_unchanged == 1
    assert rejections(engine) == [(FILE, 2, "customer_changed")]
    assert rows(engine, "select count(*) from shop.orders") == [(2,)]


def test_lines_of_an_unknown_order_are_rejected(run: Run, engine: Engine, folder: Path) -> None:
    write_day(folder, orders=[order("1")], lines=[line("1"), line("404")])
    assert run().rejected == 1
    assert rejections(engine) == [(f"{DAY}/order_lines.csv", 2, "order_unknown")]


def test_two_customers_with_one_hash_are_refused(run: Run, engine: Engine, folder: Path) -> None:
    with engine.begin() as connection:
        connection.execute(
            text(
                "insert into shop.customers (customer_id, namespace, customer_ref, updated_at, known_at) "
                "values (shop.customer_id('demo', 'C1'), 'demo', 'somebody else', now(), now())"
            )
        )
    write_day(folder, orders=[order("1")])
    with pytest.raises(StateError, match="hashes collide"):
        run()
    assert rows(engine, "select count(*) from shop.orders") == [(0,)]
