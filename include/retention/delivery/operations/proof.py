"""The nightly proof: each promise about sending is a select of its violations, in ``sql/delivery/proof.sql``."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from retention.core import days
from retention.core.database import run
from retention.core.days import Counts
from retention.core.documents import nearest
from retention.core.errors import InputError, StateError
from retention.core.settings import Settings
from retention.core.shop import Shop

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


def prove(shop: Shop, at: datetime | None = None) -> Counts:
    """How many violations each check finds at `at` (now): all 0 when every promise was kept. Reads, writes nothing."""
    now = at or shop.clock()
    counts: Counts = {}
    with shop.engine.connect() as connection, connection.begin():
        given = values(shop.settings, connection, now)
        for name, statement in CHECKS.items():
            counts[name] = len(run(connection, statement, **given).all())
            log.log(logging.ERROR if counts[name] else logging.INFO, "proof %s: %s", name, counts[name])
    return counts


def violations(shop: Shop, name: str, at: datetime | None = None) -> list[dict[str, Any]]:
    """What the check `name` finds at `at` (now): the keys of each row, no addresses. Raises InputError if unknown."""
    if name not in CHECKS:
        raise InputError(f"There is no check {name[:80]!r}.{nearest(name, list(CHECKS))}")
    with shop.engine.connect() as connection, connection.begin():
        given = values(shop.settings, connection, at or shop.clock())
        return [dict(row) for row in run(connection, CHECKS[name], **given).mappings()]


def values(settings: Settings, connection: Connection, now: datetime) -> dict[str, Any]:
    """What the checks bind at `now`."""
    known_by = now - STUCK
    played = days.Part("delivery", "").newest_done(connection)
    if settings.clock == "days" and played:  # no export comes before the next day is played
        known_by = min(known_by, days.known_at(played, settings.shop_time_zone))
    return {"stuck_since": now - STUCK, "known_by": known_by, "shop_zone": settings.shop_time_zone.key}


def must_hold(shop: Shop, at: datetime | None = None) -> Counts:
    """`prove`; raises StateError with the numbers where a promise was broken."""
    counts = prove(shop, at)
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
