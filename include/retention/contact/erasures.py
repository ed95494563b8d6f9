"""People who were erased: all that is known of them are digests under ``RETENTION_SECRET``.

With another secret they are strangers again.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime

from sqlalchemy import Connection

from retention.core.database import Fragment, one, run
from retention.core.settings import Settings, hmac_pads


def digest(settings: Settings, kind: str, *words: str) -> bytes:
    """What shop.erased keeps of a customer (namespace and reference), an email or a phone."""
    return hmac.digest(settings.secret.encode(), "\x1f".join(["erased", kind, *words]).encode(), hashlib.sha256)


def is_any(connection: Connection) -> bool:
    """Whether anybody was ever erased."""
    return bool(one(connection, "contact/is_anybody_erased")["is_any"])


def suppress(connection: Connection, settings: Settings, now: datetime | None = None) -> list[int]:
    """Suppress whoever has an address or a number of somebody erased; whose suppression is new.

    `now`: of all customers, known from then. None: of those in the stage, known from when they are.
    """
    if not is_any(connection):
        return []
    inner_pad, outer_pad = hmac_pads(settings.secret)
    which = "true" if now else "c.customer_id in (select s.customer_id from stage_customers as s)"
    found = run(
        connection, "contact/suppress_erased", {"which": Fragment(which)},
        known_at=now, inner_pad=inner_pad, outer_pad=outer_pad,
    )  # fmt: skip
    return list(found.scalars())
