"""Apply what came in sets: states of messages, who shows interest, coupons that orders carried.

Opt-outs were applied when they came.
"""

from __future__ import annotations

import logging
from collections import Counter
from datetime import datetime, timedelta
from uuid import uuid4

from sqlalchemy import Connection

from retention.core import changes
from retention.core.database import count, lock, one, run
from retention.core.days import Counts
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.ledger.claims import Ledger, note_clicks, release_reservations
from retention.offers.coupons import redeem_ordered

log = logging.getLogger(__name__)

BATCH = 20_000  # events in one transaction
GIVE_UP = timedelta(days=7)  # how long an event waits for a message that is not there


def apply(shop: Shop, at: datetime | None = None, batch: int = BATCH) -> Counts:
    """Apply all events whose message is there; `at` (now, if None) is noted as the instant of it.

    Returns how many events were `applied`, how many messages are `accepted`, `delivered`, `bounced` or `refused` by
    that, for how many customers interest `engaged` changed, how many events still are `waiting` for their message, and
    how many were `given_up` because it never came. Also how many coupons orders `redeemed`, and how many orders carried
    one that was `not_redeemed` by it. Applying again changes nothing; the order of events does not matter.
    """
    now = at or shop.clock()
    _recover_orphaned_claims(shop, now)
    counts: Counter[str] = Counter(applied=0, accepted=0, delivered=0, bounced=0, refused=0, engaged=0)
    while True:
        with shop.engine.begin() as connection:
            taken = _apply_batch(shop.settings, connection, now, batch, counts)
        if not taken:
            break
    with shop.engine.begin() as connection:
        used = redeem_ordered(shop.settings, connection, now)
        counts.update(redeemed=used.pop("redeemed", 0), not_redeemed=used.total())
    with shop.engine.begin() as connection:
        counts["given_up"] = len(run(connection, "events/give_up", now=now, before=now - GIVE_UP).all())
        counts["waiting"] = count(connection, "events/waiting")
    log.info("events applied: %s", dict(counts))
    return dict(counts)


def _apply_batch(settings: Settings, connection: Connection, now: datetime, size: int, counts: Counter[str]) -> int:
    """One transaction: take events, move their messages, count interest; how many were taken."""
    lock(connection, "events", "apply")
    lock(connection, "delivery", "claim")  # evidence of a planned message must not meet the claim that takes it
    batch = str(uuid4())
    taken = len(run(connection, "events/take", batch=batch, now=now, size=size).all())
    if not taken:
        return 0
    moved = run(connection, "ledger/settle_reported", batch=batch, now=now).mappings().all()
    counts.update(row["state"] for row in moved)
    release_reservations(connection, [row for row in moved if row["state"] == "refused"])
    note_clicks(connection, run(connection, "events/clicks", batch=batch).all())
    engaged = list(run(connection, "events/engage", batch=batch, shop_zone=settings.shop_time_zone.key).scalars())
    changes.record(connection, engaged, now.astimezone(settings.shop_time_zone).date(), "engagement")
    counts["applied"] += taken
    counts["engaged"] += len(engaged)
    return taken


def _recover_orphaned_claims(shop: Shop, now: datetime) -> None:
    """What a dead worker left being attempted becomes unknown, where an event waits for it: then that can settle it."""
    with shop.engine.connect() as connection:
        with connection.begin():
            waits = one(connection, "events/waits_for_worker")["waits"]
        if waits:
            Ledger(shop.settings, connection).recover_orphaned_claims(now)
