"""Unknown messages: the operator's list, the two decisions, and what a restore from a backup makes unknown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import Engine

from retention.database import lock, run
from retention.days import Counts
from retention.delivery.ledger import give_back
from retention.errors import InputError, StateError
from retention.settings import Settings

DECISIONS = ("sent", "again")


def unknown(
    settings: Settings, engine: Engine, older_than: timedelta = timedelta(0), at: datetime | None = None
) -> list[dict[str, Any]]:
    """The messages nobody knows of whether they were sent, attempted `older_than` before `at` (now) or earlier."""
    with engine.connect() as connection:
        rows = run(connection, "delivery/unknown", before=_instant(at) - older_than).mappings()
        return [dict(row) for row in rows]


def settle(
    settings: Settings, engine: Engine, key: str, decision: str, decided_by: str, at: datetime | None = None
) -> Counts:
    """What a person has decided about the unknown message `key`: it was ``sent``, or it is to be sent ``again``.

    `again` plans it once more; the claim checks every rule again. Returns the message's state. Raises InputError for a
    decision without a name or of another kind, StateError where the message is not unknown, or expired: too late.
    """
    if decision not in DECISIONS:
        raise InputError(f"There is no decision {decision!r}; write one of {', '.join(DECISIONS)}.")
    if not decided_by.strip():
        raise InputError("Say who decides: --by NAME.")
    now = _instant(at)
    with engine.begin() as connection:
        lock(connection, "delivery", "claim")
        written = run(
            connection, "delivery/settle_unknown", message_key=key, decision=decision, now=now
        ).mappings().first()  # fmt: skip
        if written is None:
            found = run(connection, "delivery/state_of", message_key=key).first()
            if found is None:
                raise InputError(f"There is no message with the key {key[:80]!r}.")
            if found.state != "unknown":
                raise StateError(f"The message is {found.state}, not unknown: nothing is left to decide.")
            raise StateError(
                f"too_late: the message expired at {found.expires_at.isoformat()} and can no longer be sent. It stays "
                "unknown, unless you know that it was sent (--as sent)."
            )
        if written["state"] == "planned":
            give_back(connection, [written])
        run(
            connection, "delivery/record_decision", customer_id=written["customer_id"], message_key=key, now=now,
            decision=decision, decided_by=decided_by.strip(),
        )  # fmt: skip
        return {"message_key": key, "state": written["state"]}


def restored(settings: Settings, engine: Engine, backup_at: datetime, at: datetime | None = None) -> Counts:
    """After a restore, before any worker starts: what may have been sent since the backup becomes unknown.

    `backup_at` is the instant the copy was made, `at` (now) that of the restore. Also messages planned again later that
    were due before the restore become unknown when they are claimed for a provider. Twice is like once. Returns how
    many messages became unknown. Raises InputError for a backup after the restore or an instant without an offset.
    """
    now = _instant(at)
    if _instant(backup_at) > now:
        raise InputError(f"The backup is of {backup_at.isoformat()}, which is later than now.")
    with engine.begin() as connection:
        lock(connection, "delivery", "claim")
        run(connection, "delivery/record_restore", claim=str(uuid4()), backup_at=backup_at, now=now)
        became = len(run(connection, "delivery/restored", backup_at=backup_at).all())
        run(connection, "delivery/issue_restored_coupons", shop_zone=settings.shop_time_zone.key)
        return {"unknown": became}


def _instant(at: datetime | None) -> datetime:
    if at is None:
        return datetime.now(UTC)
    if at.tzinfo is None:
        raise InputError(f"{at.isoformat()} has no offset; write it like 2026-11-21T09:00:00+01:00.")
    return at
