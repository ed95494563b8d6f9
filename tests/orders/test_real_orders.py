"""Two real shops: every row accounted for, every order counted once, a second load changes nothing."""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.orders import sync

pytestmark = pytest.mark.real_data


def test_online_retail_counts_each_invoice_once(settings: Settings, engine: Engine, real_data: Path) -> None:
    path = str(real_data / "online_retail_half")
    counts = sync.load(Shop(settings, engine), "online_retail", path)
    assert counts.counts() == {
        "landed": 513_082,
        "accepted": 392_569,
        "rejected": 120_513,
        "corrected": 0,
        "orders_inserted": 17_559 + 3_673,
        "orders_updated": 0,
        "orders_unchanged": 0,
        "customers_touched": 2_971,
    }
    with engine.connect() as connection:
        found = {
            row[0]: row[1] for row in connection.execute(text("select status, count(*) from shop.orders group by 1"))
        }
        assert found == {"complete": 17_559, "cancelled": 3_673}
        overlap = text(
            'select count(*) from (select "Invoice" from landing.online_retail_orders '
            "group by 1 having count(distinct file_no) = 2) as both_files"
        )
        assert connection.execute(overlap).scalar() == 535
        lines = text(
            "select count(*) from landing.online_retail_orders r "
            'where "CustomerID" is not null and "Price" not like \'-%\' '
            "and (file_no = 2 or not exists (select from landing.online_retail_orders l "
            'where l.file_no = 2 and l."Invoice" = r."Invoice"))'
        )
        expected_lines = connection.execute(lines).scalar()
        assert connection.execute(text("select count(*) from shop.order_lines")).scalar() == expected_lines
        assert connection.execute(text("select day from shop.days")).scalars().all()[0].isoformat() == "2011-12-09"
    again = sync.load(Shop(settings, engine), "online_retail", path)
    assert again == replace(counts, orders_inserted=0, orders_unchanged=21_232, customers_touched=0)


def test_cdnow_rows_are_orders_with_an_id_from_their_content(
    settings: Settings, engine: Engine, real_data: Path
) -> None:
    path = real_data / "cdnow_sample"
    counts = sync.load(Shop(settings, engine), "cdnow", str(path))
    assert (counts.orders_inserted, counts.customers_touched, counts.rejected) == (6_919, 2_357, 0)
    spent: dict[str, float] = defaultdict(float)
    with gzip.open(path / "CDNOW_sample.txt.gz", "rt") as file:
        for row in csv.reader(file, delimiter=" ", skipinitialspace=True):
            spent[row[0]] += float(row[4])
    statement = text(
        "select c.customer_ref, sum(o.total) from shop.orders as o "
        "inner join shop.customers as c using (customer_id) group by 1"
    )
    with engine.connect() as connection:
        found = {ref: float(total) for ref, total in connection.execute(statement)}
    assert found == {ref: pytest.approx(total) for ref, total in spent.items()}
    assert sync.load(Shop(settings, engine), "cdnow", str(path / "CDNOW_sample.txt.gz")).orders_unchanged == 6_919
