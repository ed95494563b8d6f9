"""Whatever stands in a file: every landed row is accepted or rejected, and every good order is in the shop."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from shop_files import DAY, ORDERS, order, write_day
from sqlalchemy import Engine, text

from retention.core.errors import ExpectationFailed
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.orders import sync

VALUES = st.one_of(
    st.sampled_from(
        ["", "-1", "1.234,56", "31/02/2011", "NaN", "infinity", "now", "1e400", "'; drop table x; --", "é", "\t", "0"]
    ),
    st.text(max_size=20),
)
ROWS = st.lists(
    st.one_of(
        st.builds(lambda ref: list(order(f"good-{ref}").values()), st.integers(0, 5)),
        st.builds(
            lambda place, value: [value if i == place else v for i, v in enumerate(order("x").values())],
            st.integers(0, len(ORDERS) - 1),
            VALUES,
        ),
        st.lists(VALUES, min_size=1, max_size=13),
    ),
    max_size=12,
)
JUNK = st.lists(st.binary(max_size=30), max_size=2)


@hypothesis_settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
@given(rows=ROWS, junk=JUNK)
def test_every_landed_row_is_accepted_or_rejected(
    settings: Settings, engine: Engine, tmp_path: Path, rows: list[list[str]], junk: list[bytes]
) -> None:
    here = write_day(tmp_path / "demo_shop")
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([ORDERS, *rows])
    content = out.getvalue().encode("utf-8", "replace") + b"".join(piece + b"\n" for piece in junk)
    (here / "orders.csv").write_bytes(content)
    with engine.begin() as connection:
        for table in ("orders", "orders_history", "customers", "customer_stats", "days", "changes"):
            connection.execute(text(f"delete from shop.{table}"))
    try:
        counts = sync.sync(Shop(settings, engine), "demo_shop", DAY)
    except ExpectationFailed:
        counts = None
    with engine.connect() as connection:
        landed, in_table, rejected, unreadable = connection.execute(
            text(
                "select l.landed, (select count(*) from landing.demo_shop_orders), "
                "(select count(distinct (file_no, row_no)) from landing.rejections r where r.load_id = l.load_id), "
                "(select count(*) from landing.rejections r where r.load_id = l.load_id and not exists (select from "
                "landing.demo_shop_orders o where o.file_no = r.file_no and o.row_no = r.row_no)) "
                "from landing.loads l where feed = 'orders'"
            )
        ).one()
        orders = set(connection.execute(text("select order_ref from shop.orders")).scalars())
    assert landed == in_table + unreadable
    if counts is not None:
        assert counts.landed == counts.accepted + counts.rejected == landed
        assert counts.rejected == rejected
        good = {row[0] for row in rows if row[1:] == list(order("x").values())[1:] and row[0].startswith("good-")}
        assert good <= orders
