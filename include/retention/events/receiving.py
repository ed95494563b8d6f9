"""Take in what was verified: store events once, and write at once whom nobody may write to any more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from retention.contact import suppressions
from retention.core.database import run
from retention.core.settings import Settings
from retention.events.reports import STOPPED, UNSUBSCRIBED, Event, text_sent


@dataclass(frozen=True)
class Report:
    """What one request says."""

    provider: str  # sendgrid, twilio, or retention: our own link
    events: Sequence[Event]
    received_at: datetime


def receive(
    settings: Settings, connection: Connection, provider: str, events: Sequence[Event], received_at: datetime
) -> int:
    """Store what one request says; how many of its events are new."""
    return receive_all(settings, connection, [Report(provider, events, received_at)])[0]


def receive_all(settings: Settings, connection: Connection, reports: Sequence[Report]) -> list[int]:
    """Store the events that are new, with their suppressions, known from when they came; of each report how many."""
    new = _store(connection, reports)
    suppressions.suppress(
        settings,
        connection,
        [
            (event.customer_id, *event.suppression, reports[number].received_at)
            for number, event in new
            if event.suppression
        ],
    )
    counts = Counter(number for number, _ in new)
    return [counts[number] for number in range(len(reports))]


def unsubscribe(settings: Settings, connection: Connection, customer_id: int, received_at: datetime) -> int:
    """The customer wants no marketing from us, on no channel; how many suppressions are new (0 or 1)."""
    return suppressions.suppress(settings, connection, [(customer_id, *UNSUBSCRIBED, received_at)])


def obey_text(
    settings: Settings, connection: Connection, form: Mapping[str, str], asked: str, received_at: datetime
) -> int:
    """Do what a text asks for, ``stop`` or ``start``, for every customer with its number; how many that changed.

    A text that comes again changes nothing, so an old STOP that is repeated does not undo a newer START.
    """
    ids = list(run(connection, "contact/with_phone", phone=form.get("From", "")[:40].replace("\0", "")).scalars())
    events = [event for each in ids if (event := text_sent(form, each, asked, received_at))]
    new = [event.customer_id for _, event in _store(connection, [Report("twilio", events, received_at)])]
    if asked == "stop":
        return suppressions.suppress(settings, connection, [(each, *STOPPED, received_at) for each in new])
    return suppressions.lift_stopped(settings, connection, new, received_at)


def _store(connection: Connection, reports: Sequence[Report]) -> list[tuple[int, Event]]:
    """Store what is new, each with the place of its report; in order of keys: who wants the same waits, no deadlock."""
    by_key: dict[tuple[int, str], tuple[int, Event]] = {}
    for number, report in enumerate(reports):
        for event in report.events:
            by_key.setdefault((event.customer_id, event.event_key), (number, event))
    if not by_key:
        return []
    ordered = [by_key[key] for key in sorted(by_key)]
    events = [event for _, event in ordered]
    stored = run(
        connection,
        "events/store",
        providers=[reports[number].provider for number, _ in ordered],
        received_ats=[reports[number].received_at for number, _ in ordered],
        customer_ids=[each.customer_id for each in events],
        event_keys=[each.event_key for each in events],
        message_keys=[each.message_key for each in events],
        kinds=[each.kind for each in events],
        details=[each.detail for each in events],
        links=[each.link for each in events],
        agents=[each.agent for each in events],
        provider_ids=[each.provider_id for each in events],
        occurred_ats=[each.occurred_at for each in events],
    )
    return [by_key[row.customer_id, row.event_key] for row in stored]
