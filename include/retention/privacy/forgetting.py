"""Forgetting: a person goes from everywhere, and the totals stay as they were.

What is left of them are digests under ``RETENTION_SECRET`` (shop.erased), by which they are known when they come again
in a file. Their orders, enrolments and messages stand under a number drawn at random, without any reference.
"""

from __future__ import annotations

import logging
import secrets
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from retention.contact import erasures, suppressions
from retention.core import changes
from retention.core.database import Fragment, Table, count, expression, identifier, lock, one, run
from retention.core.days import Counts
from retention.core.errors import DeliveryError, InputError, StateError
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.delivery.channels import outbox
from retention.delivery.exports import audiences
from retention.ledger.claims import Ledger, release_reservations
from retention.orders import erased, sources, sync
from retention.orders.sources import Source

log = logging.getLogger(__name__)

# What stays, under a number of nobody's, and the columns that say who it was. Every other table loses its rows.
KEPT: dict[str, tuple[str, ...]] = {
    "shop.orders": ("order_ref", "coupon_code"),
    "shop.orders_history": ("order_ref", "coupon_code"),
    "shop.order_lines": ("order_ref",),
    "shop.customer_stats": (),
    "shop.changes": (),
    "campaigns.enrolments": ("unit",),
    "campaigns.decisions": (),
    "offers.coupons": ("code",),
    "offers.coupon_exports": (),
    "offers.redemptions": ("code", "order_ref"),
    "delivery.messages": ("message_key", "provider_id"),
    "delivery.decisions": ("message_key",),
    "delivery.audience_members": ("message_key",),
}
ADDRESSES_PER_CALL = 5000  # of SendGrid's erasure


@dataclass(frozen=True, kw_only=True)
class _Person:
    """Whom to forget. Nothing of it shows in a log."""

    customer_id: int
    namespace: str
    ref: str
    is_forgotten: bool = False  # once more: nothing but digests is left of them


def forget(shop: Shop, ref: str, namespace: str | None = None, at: datetime | None = None) -> Counts:
    """Remove the customer `ref` everywhere; what was removed and kept, in rows.

    From the moment it begins nobody writes to them. Running it again does what was left, and nothing twice. Raises
    InputError where there is no such customer, or more than one; StateError while a worker is handing over one of their
    messages; DeliveryError where live delivery's provider does not take the erasure: then all else is still there.
    """
    now = at or shop.clock()
    person = _find(shop, ref, namespace)
    counts: Counts = {"skipped": _silence(shop, person, now)}
    with shop.engine.connect() as connection:
        Ledger(shop.settings, connection).recover_orphaned_claims(now)
    with shop.engine.connect() as connection, connection.begin():
        _refuse_attempting(connection, person)
    mine = [source for source in _sources(shop.settings) if source.namespace == person.namespace]
    with ExitStack() as turns:
        for source in sorted(mine, key=lambda each: each.name):  # nothing of them is being published meanwhile
            turns.enter_context(sync.turn(shop.engine, source))
        with shop.engine.connect() as connection, connection.begin():
            rows = run(connection, "privacy/addresses", customer_id=person.customer_id).mappings()
            contacts = [dict(row) for row in rows]
        counts["provider"] = _erase_at_provider(shop.settings, [row["written_email"] for row in contacts])
        with shop.engine.connect() as connection, connection.begin():  # may take its time: no worker waits for it
            counts |= _erase_landed(shop.settings, connection, person, contacts, mine, now)
        with shop.engine.connect() as connection, connection.begin():
            lock(connection, "delivery", "claim")
            _refuse_attempting(connection, person)
            counts |= _erase(shop.settings, connection, person, now)
    log.info("a customer was forgotten: %s", counts)
    return counts


def _find(shop: Shop, ref: str, namespace: str | None) -> _Person:
    with shop.engine.connect() as connection:
        rows = run(connection, "privacy/find", ref=ref, namespace=namespace).all()
        if len(rows) > 1:
            names = ", ".join(row.namespace for row in rows)
            raise InputError(
                f"There is a customer {ref!r} in more than one namespace; name one of {names} (--namespace)."
            )
        if rows:
            return _Person(customer_id=rows[0].customer_id, namespace=rows[0].namespace, ref=ref)
        for name in [namespace] if namespace else sorted({source.namespace for source in _sources(shop.settings)}):
            digest = erasures.digest(shop.settings, "customer", name, ref)
            if one(connection, "contact/is_erased", digest=digest)["is_erased"]:
                known = one(connection, "privacy/customer_id", namespace=name, ref=ref)["customer_id"]
                return _Person(customer_id=known, namespace=name, ref=ref, is_forgotten=True)
    raise InputError(f"There is no customer {ref!r}" + (f" in namespace {namespace!r}." if namespace else "."))


def _sources(settings: Settings) -> list[Source]:
    files = sorted((settings.include / "sources").glob("*.yaml"))
    return [sources.read(settings.include, file.stem) for file in files]


def _silence(shop: Shop, person: _Person, now: datetime) -> int:
    """Committed first and in turn with the claims: no later claim takes a message of theirs; how many were planned."""
    who = {"customer_id": person.customer_id}
    today = now.astimezone(shop.settings.shop_time_zone).date()
    with shop.engine.connect() as connection, connection.begin():
        lock(connection, "delivery", "claim")
        run(connection, "contact/suppress_forgotten", now=now, **who)
        run(connection, "campaigns/end_erased", today=today, **who)
        run(connection, "campaigns/forget_candidate", **who)
        skipped = run(connection, "ledger/skip_erased", now=now, **who).mappings().all()
        release_reservations(connection, skipped)
        if not person.is_forgotten:
            changes.record(connection, [person.customer_id], today, "erasures")
    return len(skipped)


def _refuse_attempting(connection: Connection, person: _Person) -> None:
    if count(connection, "privacy/attempting", customer_id=person.customer_id):
        raise StateError(
            "A message to this customer is being handed over right now. Nothing else will be sent to them; run the "
            "same command again in a minute."
        )


def _erase_at_provider(settings: Settings, addresses: Iterable[str | None]) -> str:
    """SendGrid forgets the addresses too, where messages are sent for real. Raises DeliveryError where it does not."""
    emails = sorted({address for address in addresses if address})
    if settings.delivery != "live" or not settings.sendgrid_api_key or not emails:
        return "nothing to erase"
    from retention.delivery.channels import sendgrid_client  # takes a second

    client = sendgrid_client.make(settings).client
    try:
        for first in range(0, len(emails), ADDRESSES_PER_CALL):
            client.recipients.erasejob.post(
                request_body={"email_addresses": emails[first : first + ADDRESSES_PER_CALL]}
            )
    except Exception as problem:  # of whatever sort: the answer may quote the addresses
        code = getattr(problem, "status_code", None)
        raise DeliveryError(
            f"SendGrid did not take the erasure ({f'HTTP {code}' if code else type(problem).__name__}). The customer "
            "is suppressed and nothing is sent to them, but all else is still there: run the same command again."
        ) from None
    return "asked to erase"


def _erase_landed(
    settings: Settings,
    connection: Connection,
    person: _Person,
    contacts: list[dict[str, Any]],
    mine: list[Source],
    now: datetime,
) -> Counts:
    """What their files said, and what stays: digests."""
    _remember(settings, connection, person, contacts, now)
    landed = 0
    for source in mine:
        refs = run(connection, "privacy/order_refs", customer_id=person.customer_id, source=source.name)
        landed += erased.quarantine(connection, settings, source, ref=person.ref, order_refs=refs.scalars().all())
    written = [row[name] for row in contacts for name in ("written_email", "written_phone") if row[name]]
    run(
        connection,
        "orders/blank_rejections",
        sources=[source.name for source in mine],
        words=[person.ref, *written],
        addresses=written,
    )
    same_address = erasures.suppress(connection, settings, now)
    shared = suppressions.share(connection, suppressions.THESE, customer_ids=same_address, known_at=now)
    changed = [*same_address, *(row.customer_id for row in shared)]
    changes.record(connection, changed, now.astimezone(settings.shop_time_zone).date(), "suppressions")
    return {"landed": landed, "same_address": len(same_address)}


def _erase(settings: Settings, connection: Connection, person: _Person, now: datetime) -> Counts:
    """Every row with their number: kept under another one, or gone."""
    who = {"customer_id": person.customer_id}
    audiences.queue_removal(connection, person.customer_id, now)
    keys = run(connection, "privacy/message_keys", **who).scalars().all()
    tables = run(connection, "privacy/tables").all()
    kept = {table.name for table in tables if table.name in KEPT or table.name.startswith("selections.")}
    values = {"new_id": secrets.randbits(64) - 2**63, "salt": secrets.token_hex(32)}
    for table in tables:  # all of them before anything goes: an order's code is looked up among the coupons
        if table.name in kept:
            run(connection, "privacy/keep", _names(settings, table.name, table.columns), **who, **values)
    counts = Counter[str]()
    for table in tables:
        gone = run(connection, "privacy/remove", {"table": Table(table.name)}, **who).all()
        counts["kept" if table.name in kept else "removed"] += len(gone)
    # Last before the commit: whoever is cut off here runs it again, and knows the keys again.
    return {"kept": counts["kept"], "removed": counts["removed"], "files": outbox.remove(settings, keys)}


def _remember(
    settings: Settings, connection: Connection, person: _Person, contacts: list[dict[str, Any]], now: datetime
) -> None:
    known = {(kind, row[kind]) for row in contacts for kind in ("email", "phone") if row[kind]}
    digests = {("customer", erasures.digest(settings, "customer", person.namespace, person.ref))}
    digests |= {(kind, erasures.digest(settings, kind, word)) for kind, word in known}
    run(
        connection,
        "contact/remember_erased",
        now=now,
        kinds=[kind for kind, _ in digests],
        digests=[digest for _, digest in digests],
    )


def _names(settings: Settings, table: str, columns: Iterable[str]) -> Mapping[str, str]:
    """What `keep` writes: each column as it is, but for those that say who it was."""

    def value(column: str) -> str:
        if column == "customer_id":
            return "cast(:new_id as bigint)"
        if column not in KEPT.get(table, ()):
            return f"t.{identifier(column)}"
        if column in ("provider_id", "unit"):
            return "null"
        if column == "coupon_code":
            return expression(settings.include, "privacy/macros", "coupon_code", "t")
        return expression(settings.include, "privacy/macros", "word", f"t.{identifier(column)}")

    listed = list(columns)
    return {
        "table": Table(table),
        "listed": Fragment(", ".join(identifier(column) for column in listed)),
        "kept": Fragment(", ".join(value(column) for column in listed)),
    }
