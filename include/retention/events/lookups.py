"""Look-ups: ask the providers about messages whose fate is unknown, where no report came.

What they show becomes an event like any other, so the same statements settle the message, write suppressions and give
coupons back. What they do not show proves nothing: the message stays unknown, with the instant of the look-up.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from retention.core import channels
from retention.core.database import run
from retention.core.days import Counts
from retention.core.errors import DeliveryError
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.events import applying
from retention.events.receiving import receive
from retention.events.reports import Event

log = logging.getLogger(__name__)

OLD_ENOUGH = timedelta(hours=1)  # by then a report would have come, and activity can be searched


def look_up(
    shop: Shop,
    older_than: timedelta = OLD_ENOUGH,
    at: datetime | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> Counts:
    """Ask about the messages that are unknown and were attempted `older_than` before `at` (now) or earlier.

    Those looked up least recently go first. Returns how many were `found`, how many `not_found` (or not for certain),
    how many are `left` for another run, and by channel why it was `stopped`, where it was: a key or an add-on is
    missing, the provider has had enough, or does not answer.
    """
    now = at or shop.clock()
    asked = {each.name: each for each in channels.CHANNELS.values() if each.look_up}
    counts: Counter[str] = Counter(found=0, not_found=0, left=0)
    stopped: dict[str, str] = {}
    with shop.engine.connect() as connection:
        with connection.begin():
            found = run(connection, "events/to_look_up", before=now - older_than, channels=list(asked))
            rows = [dict(row) for row in found.mappings()]
        for channel, spec in asked.items():
            mine = [row for row in rows if row["channel"] == channel]
            if not mine:
                continue
            try:
                search = channels.load(spec.look_up)(shop.settings, connection, pause)
                for row in mine[: spec.look_ups_at_once]:
                    event = search.find(row, now)
                    _keep(shop.settings, connection, search.provider, row, event, now)
                    counts["found" if event else "not_found"] += 1
            except DeliveryError as problem:
                log.warning("No more look-ups of %s: %s", channel, problem)
                stopped[channel] = str(problem)
    counts["left"] = len(rows) - counts["found"] - counts["not_found"]
    applying.apply(shop, at=now)
    return {**counts, **({"stopped": stopped} if stopped else {})}


def _keep(
    settings: Settings, connection: Connection, provider: str, row: dict[str, Any], event: Event | None, now: datetime
) -> None:
    with connection.begin():
        if event:
            receive(settings, connection, provider, [event], now)
        else:
            key = {"customer_id": row["customer_id"], "message_key": row["message_key"]}
            run(connection, "ledger/looked_up", **key, now=now)
