"""The nightly proof: each promise about sending is a select of its violations, ``sql/proof/<promise>.sql``."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from sqlalchemy import Engine

from retention.core import clock, days
from retention.core.database import one, run
from retention.core.days import Counts
from retention.core.errors import StateError
from retention.core.settings import Settings

log = logging.getLogger(__name__)

CHECKS = (
    "message_key_twice", "step_twice", "two_steps_one_day", "control_messaged", "control_in_audience",
    "control_in_postal", "without_enrolment", "sent_after_order", "sent_after_unsubscribing", "sent_without_ground",
    "sent_expired", "outside_window", "cap_exceeded", "stuck_attempting", "audience_overstayed",
)  # fmt: skip
STUCK = timedelta(hours=24)  # a worker that attempts for so long is dead, and so is an export that has not come


def prove(settings: Settings, engine: Engine, at: datetime | None = None) -> Counts:
    """How many violations each check finds at `at` (now): all 0 when every promise was kept. Reads, writes nothing."""
    now = at or clock.now()
    counts: Counts = {}
    with engine.connect() as connection, connection.begin():
        values = {"stuck_since": now - STUCK, "shop_zone": settings.shop_time_zone.key}
        played = one(connection, "days/newest_done", stage="delivery", part="")["day"]
        if settings.clock == "days" and played:  # no export comes before the next day is played
            values["known_by"] = min(now - STUCK, days.known_at(played, settings.shop_time_zone))
        else:
            values["known_by"] = now - STUCK
        for name in CHECKS:
            counts[name] = len(run(connection, f"proof/{name}", **values).all())
            log.log(logging.ERROR if counts[name] else logging.INFO, "proof %s: %s", name, counts[name])
    return counts


def must_hold(settings: Settings, engine: Engine, at: datetime | None = None) -> Counts:
    """`prove`; raises StateError with the numbers where a promise was broken."""
    counts = prove(settings, engine, at)
    if found := broken(counts):
        raise StateError(found)
    return counts


def broken(counts: Counts) -> str:
    """The promises that were broken as one sentence; empty when none was."""
    found = ", ".join(f"{name} {number}" for name, number in counts.items() if number)
    return f"Promises are broken: {found}. To see the rows: sql/proof/<name>.sql." if found else ""
