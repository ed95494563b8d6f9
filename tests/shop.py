"""A small shop for tests: facts written straight into schema `shop`, as a sync would leave them."""

from __future__ import annotations

import itertools
import shutil
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from retention.core import days
from retention.core.database import Table, qualified, run
from retention.core.settings import Settings, from_environment

NAMESPACE = "test"
LONG_AGO = date(2000, 1, 1)
INCLUDE = from_environment({}).include
# Selections and drafts that take time on every day played.
UNUSED = [
    *("lapsed_6_months.sql", "lapsed_12_months.sql", "loyal.sql", "one_time_buyers.sql", "registered_never_bought.sql"),
    *("we_miss_you.yaml", "four_phase_reactivation.yaml", "quarterly_winback.yaml", "pressure_test.yaml"),
]


def small_include(to: Path, *used: str) -> Path:
    """The project's files in the folder `to`, of those in UNUSED only the ones in `used`."""
    unused = [name for name in UNUSED if name not in used]
    return shutil.copytree(INCLUDE, to, ignore=shutil.ignore_patterns("retention*", "__pycache__", *unused))


class ShopData:
    """Add customers and orders, then `publish` a day."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self.engine = engine
        self.zone = settings.shop_time_zone
        self.settings = settings
        self.numbers = itertools.count(1)

    def _insert(self, table: str, **row: Any) -> None:
        columns = ", ".join(row)
        values = ", ".join("shop.customer_id(:namespace, :ref)" if c == "customer_id" else f":{c}" for c in row)
        with self.engine.begin() as connection:
            connection.execute(
                text(f"insert into {table} ({columns}) values ({values})"),
                {**row, "namespace": NAMESPACE, "ref": row["customer_id"]},
            )

    def customer(self, ref: str, *, consents: tuple[str, ...] = ("email", "sms"), **fields: Any) -> str:
        """A customer who can be written to by default: address, phone and consent for both channels."""
        known = days.known_at(LONG_AGO, self.zone)
        row = {
            "email": f"{ref.lower()}@mail.example",
            "phone": f"+316{next(self.numbers):08d}",
            "first_name": ref.title(),
            "language": "en",
            "country": "NL",
            "time_zone": "Europe/Amsterdam",
            "registered_at": known,
            "updated_at": known,
            "known_at": known,
            **fields,
        }
        self._insert("shop.customers", customer_id=ref, customer_ref=ref, namespace=NAMESPACE, **row)
        for channel in consents:
            self._insert(
                "shop.consents",
                customer_id=ref,
                purpose="marketing",
                channel=channel,
                is_granted=True,
                updated_at=known,
                known_at=known,
            )
        return ref

    def order(
        self, ref: str, on: date | datetime, *, status: str = "complete", total: float = 10, **fields: Any
    ) -> str:
        """An order of customer `ref`, known from the midnight after it unless `known_at` says otherwise."""
        at = on if isinstance(on, datetime) else datetime.combine(on, time(12), tzinfo=self.zone)
        day = at.astimezone(self.zone).date()
        row = {
            "source": "test",
            "order_ref": f"o{next(self.numbers)}",
            "ordered_at": at,
            "ordered_on": day,
            "status": status,
            "total": total,
            "currency": "EUR",
            "total_reporting": total,
            "updated_at": at,
            "known_at": days.known_at(day, self.zone),
            **fields,
        }
        self._insert("shop.orders", customer_id=ref, **row)
        return str(row["order_ref"])

    def publish(self, day: date) -> None:
        """Recompute all statistics and record `day` as published, as a sync of that day does last."""
        names = {"orders": Table("shop.orders"), "order_lines": Table("shop.order_lines")}
        with self.engine.begin() as connection:
            connection.execute(text("delete from shop.customer_stats"))
            run(connection, "orders/refresh_statistics", names)
            connection.execute(
                text(
                    "insert into shop.changes (customer_id, day, what) select customer_id, :day, '{orders}' "
                    "from shop.customers"
                ),
                {"day": day},
            )
            days.Part("orders", "test").record(connection, day, "done")

    def launch(self, *campaigns: str) -> None:
        """The campaigns were launched long ago, with somebody's approval: they enrol by themselves."""
        with self.engine.begin() as connection:
            for name in campaigns:
                connection.execute(
                    text(
                        "insert into campaigns.approvals (approval_id, campaign, day, version, why, customers,"
                        " entered_change, state, asked_at, expires_at, decided_at, decided_by)"
                        " values (:id, :name, :day, 'launched', 'first_launch', 0, 0, 'approved', :at, :at, :at, 'jo')"
                        " on conflict do nothing"
                    ),
                    {"id": f"{name}-launch", "name": name, "day": LONG_AGO, "at": days.known_at(LONG_AGO, self.zone)},
                )

    def publish_each(self, first: date, last: date) -> None:
        """`publish` every day from `first` to `last`."""
        for number in range((last - first).days + 1):
            self.publish(first + timedelta(days=number))


def dump(engine: Engine) -> dict[str, list[str]]:
    """Every row of every table of ours, as text: whoever wrote nothing leaves it the same."""
    with engine.connect() as connection:
        tables = (
            connection.execute(
                text(
                    "select schemaname || '.' || tablename from pg_tables where schemaname not in "
                    "('pg_catalog', 'information_schema') order by 1"
                )
            )
            .scalars()
            .all()
        )
        return {
            name: list(connection.execute(text(f"select t::text from {qualified(name)} as t order by 1")).scalars())
            for name in tables
        }
