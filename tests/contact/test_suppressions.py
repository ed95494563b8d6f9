"""Suppressions have one owner, whoever learns of them."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

from sqlalchemy import Engine, text

from retention.contact import suppressions
from retention.core.settings import Settings
from shop import ShopData

NOW = datetime.fromisoformat("2026-11-21T09:00:00+01:00")


def test_a_refusal_and_a_report_at_once_write_one_suppression(
    settings: Settings, engine: Engine, shop: ShopData
) -> None:
    shop.customer("ada")
    with engine.connect() as connection:
        who = connection.execute(text("select customer_id from shop.customers")).scalar_one()
    counts: list[int] = []
    started = threading.Event()

    def report() -> None:
        with engine.begin() as connection:
            started.set()
            later = NOW + timedelta(minutes=1)
            counts.append(suppressions.suppress(settings, connection, [(who, "all", "stopped", later)]))

    other = threading.Thread(target=report)
    with engine.begin() as connection:
        counts.append(suppressions.suppress(settings, connection, [(who, "all", "stopped", NOW)]))
        other.start()
        started.wait(5)
        other.join(0.5)  # it waits for this transaction
    other.join()
    assert sorted(counts) == [0, 1]
    with engine.connect() as connection:
        assert connection.execute(text("select known_at from shop.suppressions")).scalars().all() == [NOW]
        assert connection.execute(text("select count(*) from shop.changes where what = '{suppressions}'")).scalar() == 1
