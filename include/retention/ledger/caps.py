"""Caps: how many messages one customer gets at most, over all campaigns. ``caps.yaml``, one line a cap."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from retention.core import channels, documents
from retention.core.clock import Clock
from retention.core.database import lock, run
from retention.core.settings import Settings

log = logging.getLogger(__name__)

CAPPED = (*(each.name for each in channels.CHANNELS.values() if each.may_be_capped), channels.ALL)
SCHEMA: dict[str, Any] = {
    "type": "array",
    "write": "a list of caps like - {channel: email, at_most: 2, in: 7 days}",
    "items": {
        "type": "object",
        "write": "a cap like {channel: email, at_most: 2, in: 7 days}, perhaps with a selection",
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
            "selection": {
                "type": "string",
                "pattern": "^[a-z][a-z0-9_]*$",
                "write": "the name of a selection, like loyal: the cap holds for its members only",
            },
        },
    },
}


@dataclass(frozen=True, order=True)
class Cap:
    """At most `at_most` messages in any `hours` hours, on one channel or on all together.

    That of a `selection` holds for its members, and takes the place of those for everybody on that channel in as many
    hours.
    """

    channel: str
    at_most: int
    hours: int
    selection: str = ""


@dataclass(frozen=True)
class _Rule(Cap):
    """A cap as it is in force, and who the members of its selection are: those on `members_on`, if it did any day.

    While that is not the newest published day, the cap holds for them beside those for everybody: whoever is behind
    lets nothing more through.
    """

    members_on: date | None = None
    is_current: bool = True


def read(include: Path) -> list[Cap]:
    """The caps of ``caps.yaml``; none without the file. Raises InputError naming file and line for a mistake in it.

    Whether its selections exist is not asked: one that is gone stops no delivery.
    """
    file = include / "caps.yaml"
    if not file.is_file():
        return []
    document = documents.read(file)
    if document.content is None:  # nothing but comments
        return []
    document.check(SCHEMA)
    return sorted(
        {
            Cap(each["channel"], each["at_most"], _hours(each["in"]), each.get("selection", ""))
            for each in document.content
        }
    )


def sync_rules(connection: Connection, settings: Settings, clock: Clock) -> None:
    """From now on, as `clock` shows it, the caps of ``caps.yaml`` hold and no others; who waits may try again.

    The members of a selection are those of the newest day it has done, so a cap of one changes with each day.
    """
    caps = read(settings.include)
    with connection.begin():
        rules = _rules(connection, caps, clock().astimezone(settings.shop_time_zone).date() - timedelta(days=1))
        if _in_force(connection) == rules:
            return
        lock(connection, "delivery", "claim")
        now = clock()  # no claim by the caps before is later
        given = json.dumps([asdict(rule) for rule in rules], default=str)
        run(connection, "ledger/close_caps", caps=given, now=now)
        run(connection, "ledger/open_caps", caps=given, now=now)
        run(connection, "ledger/free_capped", customer_ids=None)
    log.info("caps in force from %s: %s", now.isoformat(), rules)


def _rules(connection: Connection, caps: list[Cap], ended: date) -> list[_Rule]:
    """`caps` with the members of their selections, as of the days that had ended with `ended`."""
    names = sorted({cap.selection for cap in caps if cap.selection})
    days = {row.selection: row for row in run(connection, "ledger/days_of_selections", selections=names, ended=ended)}
    for name, row in days.items():
        if not row.is_current:
            log.warning(
                "caps.yaml: the selection %s has not done the newest published day (%s): its cap takes the place of no "
                "other. Is there a file of that name, and was it refreshed?",
                name,
                f"the last was {row.members_on}" if row.members_on else "nor any other",
            )
    return [
        _Rule(**asdict(cap), members_on=days[cap.selection].members_on, is_current=days[cap.selection].is_current)
        if cap.selection
        else _Rule(**asdict(cap))
        for cap in caps
    ]


def _in_force(connection: Connection) -> list[_Rule]:
    return sorted(_Rule(**row) for row in run(connection, "ledger/caps").mappings())


def _hours(text: str) -> int:
    number, unit = text.split()
    return int(number) * (24 if unit.startswith("day") else 1)
