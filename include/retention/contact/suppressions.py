"""Suppressions: customers whom nobody may write to any more.

Who shares an address is one person to us: what is suppressed for one profile holds, on the channels that the address
reaches, for every profile with the same e-mail address or number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Row

from retention.core import changes
from retention.core.database import Fragment, lock, run
from retention.core.settings import Settings

THESE = "select unnest(cast(:customer_ids as bigint[]))"

Suppressed = tuple[int, str, str, datetime]  # customer, channel or `all`, reason, known from


def suppress(settings: Settings, connection: Connection, rows: Sequence[Suppressed]) -> int:
    """Write the suppressions that are not there yet, for these customers and who shares an address with them.

    Returns how many of these customers' are new.
    """
    if not rows:
        return 0
    _begin(connection)
    written = run(
        connection,
        "contact/suppress",
        customer_ids=[row[0] for row in rows],
        channels=[row[1] for row in rows],
        reasons=[row[2] for row in rows],
        known_ats=[row[3] for row in rows],
    ).all()
    if written:
        shared = share(
            connection,
            THESE,
            customer_ids=[row.customer_id for row in written],
            known_at=max(row.known_at for row in written),
        )
        _record(settings, connection, [*written, *shared])
    return len(written)


def lift_stopped(settings: Settings, connection: Connection, customer_ids: Iterable[int], known_at: datetime) -> int:
    """Lift what a text that said STOP has suppressed; how many suppressions that concerns.

    What another profile with the same address has said stays, and holds for these customers too.
    """
    ids = list(customer_ids)
    _begin(connection)
    lifted = list(run(connection, "contact/lift_stopped", customer_ids=ids, known_at=known_at).scalars())
    share(connection, THESE, customer_ids=ids, known_at=known_at)
    changes.record(connection, lifted, _day(settings, known_at), "suppressions")
    return len(lifted)


def share(connection: Connection, which: str, **binds: Any) -> list[Row[Any]]:
    """Share what concerns the addresses of some customers; the suppressions that are new.

    `which`: a query of customer_id, with `binds`; `known_at` among them: from when it is known at the earliest. To be
    called late in its transaction: whoever suppresses waits for its end, and then sees these customers.
    """
    _begin(connection)
    return list(run(connection, "contact/share", {"which": Fragment(which)}, **{"known_at": None} | binds))


def _begin(connection: Connection) -> None:
    """Take the turn to write suppressions, so that two at once write one, and each sees the other's customers."""
    lock(connection, "events", "suppress")


def _record(settings: Settings, connection: Connection, rows: Iterable[Row[Any]]) -> None:
    """These suppressions are new: their customers have changed, on the day from which each is known."""
    by_day: dict[date, list[int]] = {}
    for row in rows:
        by_day.setdefault(_day(settings, row.known_at), []).append(row.customer_id)
    for day, customer_ids in by_day.items():
        changes.record(connection, customer_ids, day, "suppressions")


def _day(settings: Settings, instant: datetime) -> date:
    return instant.astimezone(settings.shop_time_zone).date()
