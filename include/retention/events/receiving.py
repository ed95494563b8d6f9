"""Take in what was verified: store events once, and write at once whom nobody may write to any more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection

from retention.database import lock, run
from retention.events.reports import STOPPED, UNSUBSCRIBED, Event, text_sent
from retention.settings import Settings

Suppressed = tuple[int, str, str]  # customer, channel, reason


def receive(
    settings: Settings, connection: Connection, provider: str, events: Sequence[Event], received_at: datetime
) -> int:
    """Store those of `events` that are new, with their suppressions, known from `received_at`; how many are new."""
    new = _store(connection, provider, events, received_at)
    _suppress(
        settings, connection,
        [(event.customer_id, *event.suppression) for event in new if event.suppression], received_at,
    )  # fmt: skip
    return len(new)


def unsubscribe(settings: Settings, connection: Connection, customer_id: int, received_at: datetime) -> int:
    """The customer wants no marketing from us, on no channel; how many suppressions are new (0 or 1)."""
    return _suppress(settings, connection, [(customer_id, *UNSUBSCRIBED)], received_at)


def obey_text(
    settings: Settings, connection: Connection, form: Mapping[str, str], asked: str, received_at: datetime
) -> int:
    """Do what a text asks for, ``stop`` or ``start``, for every customer with its number; how many that changed.

    A text that comes again changes nothing, so an old STOP that is repeated does not undo a newer START.
    """
    ids = list(run(connection, "events/with_phone", phone=form.get("From", "")[:40].replace("\0", "")).scalars())
    events = [event for each in ids if (event := text_sent(form, each, asked, received_at))]
    new = [event.customer_id for event in _store(connection, "twilio", events, received_at)]
    if asked == "stop":
        return _suppress(settings, connection, [(each, *STOPPED) for each in new], received_at)
    lifted = list(run(connection, "events/lift", customer_ids=new, known_at=received_at).scalars())
    touch(settings, connection, lifted, received_at)
    return len(lifted)


def _store(connection: Connection, provider: str, events: Sequence[Event], received_at: datetime) -> list[Event]:
    """Store `events`; those that are new. In order of their keys: two reports of the same wait, and do not deadlock."""
    by_key = {(event.customer_id, event.event_key): event for event in events}
    ordered = [by_key[key] for key in sorted(by_key)]
    if not ordered:
        return []
    stored = run(
        connection, "events/store", provider=provider, received_at=received_at,
        customer_ids=[each.customer_id for each in ordered],
        event_keys=[each.event_key for each in ordered],
        message_keys=[each.message_key for each in ordered],
        kinds=[each.kind for each in ordered],
        details=[each.detail for each in ordered],
        links=[each.link for each in ordered],
        agents=[each.agent for each in ordered],
        provider_ids=[each.provider_id for each in ordered],
        occurred_ats=[each.occurred_at for each in ordered],
    )  # fmt: skip
    return [by_key[row.customer_id, row.event_key] for row in stored]


def _suppress(settings: Settings, connection: Connection, rows: Sequence[Suppressed], received_at: datetime) -> int:
    if not rows:
        return 0
    lock(connection, "events", "suppress")  # so that two requests at once write one suppression
    written = run(
        connection, "events/suppress", known_at=received_at,
        customer_ids=[row[0] for row in rows], channels=[row[1] for row in rows], reasons=[row[2] for row in rows],
    )  # fmt: skip
    ids = list(written.scalars())
    touch(settings, connection, ids, received_at)
    return len(ids)


def touch(settings: Settings, connection: Connection, customer_ids: Iterable[int], at: datetime) -> None:
    """These customers have a changed fact since the day of `at`."""
    if ids := sorted(set(customer_ids)):
        run(connection, "events/touch", customer_ids=ids, day=at.astimezone(settings.shop_time_zone).date())
