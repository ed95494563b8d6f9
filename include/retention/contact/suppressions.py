"""Suppressions: customers whom nobody may write to any more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime

from sqlalchemy import Connection

from retention.core import changes
from retention.core.database import lock, run
from retention.core.settings import Settings

Suppressed = tuple[int, str, str, datetime]  # customer, channel or `all`, reason, known from


def suppress(settings: Settings, connection: Connection, rows: Sequence[Suppressed]) -> int:
    """Write the suppressions that are not there yet; how many are new."""
    if not rows:
        return 0
    lock(connection, "events", "suppress")  # so that two at once write one suppression
    written = run(
        connection,
        "contact/suppress",
        customer_ids=[row[0] for row in rows],
        channels=[row[1] for row in rows],
        reasons=[row[2] for row in rows],
        known_ats=[row[3] for row in rows],
    ).all()
    by_day: dict[date, list[int]] = {}
    for row in written:
        by_day.setdefault(_day(settings, row.known_at), []).append(row.customer_id)
    for day, customer_ids in by_day.items():
        changes.record(connection, customer_ids, day, "suppressions")
    return len(written)


def lift_stopped(settings: Settings, connection: Connection, customer_ids: Iterable[int], known_at: datetime) -> int:
    """Lift what a text that said STOP has suppressed; how many customers that concerns."""
    lifted = list(run(connection, "contact/lift_stopped", customer_ids=list(customer_ids), known_at=known_at).scalars())
    changes.record(connection, lifted, _day(settings, known_at), "suppressions")
    return len(lifted)


def _day(settings: Settings, instant: datetime) -> date:
    return instant.astimezone(settings.shop_time_zone).date()
