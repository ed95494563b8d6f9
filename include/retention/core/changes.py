"""Changes: one rising number over the facts of all customers, whoever wrote them.

Orders, customers, consents and members of lists (by a sync), engagement, suppressions and erasures (by events and
people): each change has a row in ``shop.changes``. "What has come since" is asked by number, never by day: a day may be
published again, and a late file brings old days.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from sqlalchemy import Connection

from retention.core.database import lock, one, run


def record(connection: Connection, customer_ids: Iterable[int], day: date, what: str) -> None:
    """These customers have a changed fact, learnt of on `day`. To be called last in its transaction: others wait."""
    if ids := sorted(set(customer_ids)):
        begin_recording(connection)
        run(connection, "core/record_changes", customer_ids=ids, day=day, what=what)


def begin_recording(connection: Connection) -> None:
    """Take the turn to draw numbers, until this transaction ends: so they rise in the order of the commits."""
    lock(connection, "changes")


def begin_publishing(connection: Connection) -> None:
    """Take the turn to write orders, which get their numbers while a long transaction goes on."""
    lock(connection, "publishing")


def newest(connection: Connection) -> int:
    """The number of the newest change. Waits for a publication under way, so that all changes up to it are there.

    It rolls back, so that the turns it takes end at once, inside a rehearsal too: call it first on a connection.
    """
    begin_publishing(connection)
    begin_recording(connection)
    number: int = one(connection, "core/newest_change")["change_no"]
    connection.rollback()
    return number
