"""The nightly proof: each promise about sending is a select of its violations, in ``sql/delivery/proof.sql``."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine

from retention.core import clock, days
from retention.core.database import one, run
from retention.core.days import Counts
from retention.core.documents import nearest
from retention.core.errors import InputError, StateError
from retention.core.settings import Settings

log = logging.getLogger(__name__)

CHECKS = {  # each with the statement that selects its violations
    "message_key_twice": "delivery/message_key_twice",
    "step_twice": "delivery/step_twice",
    "two_steps_one_day": "delivery/two_steps_one_day",
    "control_messaged": "delivery/control_messaged",
    "control_in_audience": "delivery/control_in_audience",
    "control_in_postal": "delivery/control_in_postal",
    "without_enrolment": "delivery/without_enrolment",
    "sent_after_order": "delivery/sent_after_order",
    "sent_after_unsubscribing": "delivery/sent_after_unsubscribing",
    "sent_without_ground": "delivery/sent_without_ground",
    "sent_expired": "delivery/sent_expired",
    "outside_window": "delivery/outside_window",
    "cap_exceeded": "delivery/cap_exceeded",
    "stuck_attempting": "delivery/stuck_attempting",
    "audience_overstayed": "delivery/audience_overstayed",
}
STUCK = timedelta(hours=24)  # a worker that attempts for so long is dead, and so is an export that has not come


def prove(settings: Settings, engine: Engine, at: datetime | None = None) -> Counts:
    """How many violations each check finds at `at` (now): all 0 when every promise was kept. Reads, writes nothing."""
    now = at or clock.now()
    counts: Counts = {}
    with engine.connect() as connection, connection.begin():
        given = values(settings, connection, now)
        for name, statement in CHECKS.items():
            counts[name] = len(run(connection, statement, **given).all())
            log.log(logging.ERROR if counts[name] else logging.INFO, "proof %s: %s", name, counts[name])
    return counts


def violations(settings: Settings, engine: Engine, name: str, at: datetime | None = None) -> list[dict[str, Any]]:
    """What the check `name` finds at `at` (now): the keys of each row, no addresses. Raises InputError if unknown."""
    if name not in CHECKS:
        raise InputError(f"There is no check {name[:80]!r}.{nearest(name, list(CHECKS))}")
    with engine.connect() as connection, connection.begin():
        given = values(settings, connection, at or clock.now())
        return [dict(row) for row in run(connection, CHECKS[name], **given).mappings()]


def values(settings: Settings, connection: Connection, now: datetime) -> dict[str, Any]:
    """What the checks bind at `now`."""
    known_by = now - STUCK
    played = one(connection, "core/newest_day_done", stage="delivery", part="")["day"]
    if settings.clock == "days" and played:  # no export comes before the next day is played
        known_by = min(known_by, days.known_at(played, settings.shop_time_zone))
    return {"stuck_since": now - STUCK, "known_by": known_by, "shop_zone": settings.shop_time_zone.key}


def must_hold(settings: Settings, engine: Engine, at: datetime | None = None) -> Counts:
    """`prove`; raises StateError with the numbers where a promise was broken."""
    counts = prove(settings, engine, at)
    if found := broken(counts):
        raise StateError(found)
    return counts


def broken(counts: Counts) -> str:
    """The promises that were broken as one sentence; empty when none was."""
    found = {name: number for name, number in counts.items() if number}
    if not found:
        return ""
    listed = ", ".join(f"{name} {number}" for name, number in found.items())
    return f"Promises are broken: {listed}. To see the rows of one: `retention prove --rows {next(iter(found))}`."
