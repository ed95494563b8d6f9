"""Caps: how many messages one customer gets at most, over all campaigns. ``caps.yaml``, one line a cap."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from retention.core import channels, documents
from retention.core.database import lock, run

log = logging.getLogger(__name__)

CAPPED = (*(each.name for each in channels.CHANNELS.values() if each.may_be_capped), channels.ALL)
SCHEMA: dict[str, Any] = {
    "type": "array",
    "write": "a list of caps like - {channel: email, at_most: 2, in: 7 days}",
    "items": {
        "type": "object",
        "write": "a cap like {channel: email, at_most: 2, in: 7 days}, with these three keys",
        "additionalProperties": False,
        "required": ["channel", "at_most", "in"],
        "properties": {
            "channel": {"enum": list(CAPPED), "write": channels.listed(CAPPED)},
            "at_most": {"type": "integer", "minimum": 1, "maximum": 1000, "write": "a number of messages above 0"},
            "in": {
                "type": "string",
                "pattern": "^[1-9][0-9]{0,2} (hour|hours|day|days)$",
                "write": "a time like '7 days' or '24 hours'",
            },
        },
    },
}


@dataclass(frozen=True, order=True)
class Cap:
    """At most `at_most` messages in any `hours` hours, on one channel or on all together."""

    channel: str
    at_most: int
    hours: int


def read(include: Path) -> list[Cap]:
    """The caps of ``caps.yaml``; none without the file. Raises InputError naming file and line for a mistake in it."""
    file = include / "caps.yaml"
    if not file.is_file():
        return []
    document = documents.read(file)
    if document.content is None:  # nothing but comments
        return []
    document.check(SCHEMA)
    return sorted({Cap(each["channel"], each["at_most"], _hours(each["in"])) for each in document.content})


def sync_rules(connection: Connection, caps: list[Cap], now: datetime) -> None:
    """From `now` on these caps hold and no others; who waits for one that has changed may try again."""
    with connection.begin():
        if _in_force(connection) == caps:
            return
        lock(connection, "delivery", "claim")
        values = {
            "channels": [cap.channel for cap in caps],
            "at_mosts": [cap.at_most for cap in caps],
            "hours": [cap.hours for cap in caps],
            "now": now,
        }
        run(connection, "ledger/close_caps", **values)
        run(connection, "ledger/open_caps", **values)
        run(connection, "ledger/free_capped", customer_ids=None)
    log.info("caps in force from %s: %s", now.isoformat(), caps)


def _in_force(connection: Connection) -> list[Cap]:
    return sorted(Cap(row.channel, row.at_most, row.hours) for row in run(connection, "ledger/caps"))


def _hours(text: str) -> int:
    number, unit = text.split()
    return int(number) * (24 if unit.startswith("day") else 1)
