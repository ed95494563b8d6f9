"""Audiences: who is shown ads by a platform during some days of a campaign.

The channel `audience` sends nothing. It keeps who was accepted as a row of ``delivery.audience_members``, in the
transaction that settles the message, with what Meta and Google want to see of them: hashes, no address. `export` then
writes, as files, the customers who came and those who left since the last time.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection

from retention.core.database import count, run
from retention.core.days import Counts
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.core.spreadsheets import as_csv
from retention.delivery.channels.base import Outgoing, Settled
from retention.delivery.exports import writing as exports
from retention.ledger.outcomes import accepted

log = logging.getLogger(__name__)

CHANNEL = "audience"
IDENTIFIERS = ("email_meta", "email_google", "phone_meta", "phone_google")
FORMATS = {"meta": ("email", "phone"), "google": ("Email", "Phone")}  # the header that each platform wants

_GOOGLE_MAIL = ("gmail.com", "googlemail.com")


class Audience:
    """The channel `audience`: into the database only, from where it is exported as files."""

    provider = "files"

    def send(self, messages: Sequence[Outgoing]) -> list[Settled]:
        """Nothing is handed over yet: all are accepted."""
        return [(message, accepted()) for message in messages]

    def keep(self, connection: Connection, claim: str, messages: Sequence[Outgoing], now: datetime) -> None:
        """Write the rows of ``delivery.audience_members``."""
        hashes = [identifiers(each.person["email"], each.person["phone"]) for each in messages]
        run(
            connection,
            "delivery/keep_members",
            claim=claim,
            now=now,
            customer_ids=[each.customer_id for each in messages],
            message_keys=[each.message_key for each in messages],
            **{name: [each[name] for each in hashes] for name in IDENTIFIERS},
        )


def identifiers(email: str | None, phone: str | None) -> dict[str, str | None]:
    """What the platforms find a person by, hashed; None where an address is absent. The claim gives valid ones only."""
    found: dict[str, str | None] = dict.fromkeys(IDENTIFIERS)
    if email:
        found |= {"email_meta": _hash(meta_email(email)), "email_google": _hash(google_email(email))}
    if phone:
        found |= {"phone_meta": _hash(phone.removeprefix("+")), "phone_google": _hash(phone)}
    return found


def meta_email(email: str) -> str:
    """As Meta writes it: small letters; dots and what follows a plus stay."""
    return email.strip().lower()


def google_email(email: str) -> str:
    """As Google writes it: small letters; at its own mailboxes without dots and without what follows a plus."""
    name, _, domain = "".join(email.split()).lower().rpartition("@")
    if domain in _GOOGLE_MAIL:
        name = name.partition("+")[0].replace(".", "")
    return f"{name}@{domain}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def export(shop: Shop, day: date | None = None, at: datetime | None = None) -> Counts:
    """Export who came into an audience and who left since the last time, with what is known at `at` (now).

    Per audience a folder of files for Meta and for Google; see docs/exports.md. `day`: as of that day's end;
    asked again it only writes files that are missing. Under the clock ``days`` without either it does the same:
    the days that are played export at their own instants. A halt keeps people from being put in, never from being
    taken out. Returns how many `exports` were written, how many were `added` and `removed`. Raises InputError for a day
    that is not over, StateError where the place of the files knows an export that the database does not.
    """
    counts = exports.export(shop, CHANNEL, day, at, _fix, _files)
    with shop.engine.begin() as connection:
        run(connection, "delivery/forget_members")
    return counts


def queue_removal(connection: Connection, customer_id: int, now: datetime) -> None:
    """An erased customer leaves every audience with the next export; then nothing of them is kept."""
    run(connection, "delivery/queue_removal", customer_id=customer_id, now=now)


def _fix(settings: Settings, connection: Connection, now: datetime, known_by: datetime) -> None:
    """Decide who is in, as known by then, and note for each audience what its export at `now` changes."""
    run(connection, "delivery/leave_audiences", known_by=known_by, shop_zone=settings.shop_time_zone.key)
    for audience in run(connection, "delivery/changed_audiences", now=now).mappings().all():
        removed = count(connection, "delivery/export_removals", **audience)
        added = count(connection, "delivery/export_additions", now=now, **audience)
        if added or removed:
            exports.record(connection, settings, CHANNEL, now, added=added, removed=removed, **audience)


def _files(settings: Settings, export: exports.Export, lines: Sequence[Mapping[str, Any]]) -> list[exports.File]:
    """The files of one export. What is taken out in it is not put in: two people may share a telephone."""
    out = {line[name] for line in lines if line["action"] == "remove" for name in IDENTIFIERS}
    files = []
    for platform, header in FORMATS.items():
        for action in ("remove", "add"):  # in the order in which they are to be applied
            rows = sorted(
                {
                    tuple("" if action == "add" and line[name] in out else line[name] or "" for name in names)
                    for line in lines
                    if line["action"] == action
                    for names in [(f"email_{platform}", f"phone_{platform}")]
                }
                - {("", "")}
            )
            if rows:
                files.append(
                    exports.File(
                        name=f"{platform}_{action}.csv",
                        content=as_csv(header, rows),
                        rows=len(rows),
                        about={"platform": platform, "action": action, "format": "CSV, UTF-8, SHA-256 in hex"},
                    )
                )
    return files
