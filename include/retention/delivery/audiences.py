"""Audiences: who is shown ads by a platform during some days of a campaign.

The channel `audience` sends nothing. It keeps who was accepted as a row of ``delivery.audience_members``, in the
transaction that settles the message, with what Meta and Google want to see of them: hashes, no address.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from retention.database import run
from retention.delivery.channels import Outgoing, Settled, accepted

# What the claim lets through, in Python: whatever else stands in a customer's row is nothing that a platform finds.
_EMAIL = re.compile(r'[^][\s<>(),"@]+@[^][\s<>(),"@]+[.][^][\s<>(),"@]+')
_PHONE = re.compile(r"[+][1-9][0-9]{6,14}")
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
            connection, "delivery/keep_members", claim=claim, now=now,
            customer_ids=[each.customer_id for each in messages],
            message_keys=[each.message_key for each in messages],
            **{name: [each[name] for each in hashes] for name in IDENTIFIERS},
        )  # fmt: skip


IDENTIFIERS = ("email_meta", "email_google", "phone_meta", "phone_google")


def identifiers(email: str | None, phone: str | None) -> dict[str, str | None]:
    """What the platforms find a person by, hashed; None where an address is absent or none can be."""
    found: dict[str, str | None] = dict.fromkeys(IDENTIFIERS)
    if email and _EMAIL.fullmatch(email.strip()):
        found |= {"email_meta": _hash(meta_email(email)), "email_google": _hash(google_email(email))}
    if phone and _PHONE.fullmatch(phone):
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
