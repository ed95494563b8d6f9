"""Unknown messages: the operator's list, the two decisions, and what a restore from a backup makes unknown."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection

from retention.core import clock
from retention.core.database import lock, run
from retention.core.days import Counts
from retention.core.errors import InputError, StateError
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.ledger.claims import release_reservations

DECISIONS = ("sent", "again")
OPTIONS = {"sent": "sent", "send again": "again", "leave unknown": None}  # of a question about many -> the decision
STATES = {"sent": "accepted", "again": "planned"}
LOST_AFTER = timedelta(hours=24)  # for so long a provider repeats its reports

Row = Mapping[str, Any]


def unknown(shop: Shop, older_than: timedelta = timedelta(0), at: datetime | None = None) -> list[dict[str, Any]]:
    """The messages nobody knows of whether they were sent, attempted `older_than` before `at` (now) or earlier."""
    with shop.engine.connect() as connection:
        rows = run(connection, "ledger/unknown", before=_instant(at) - older_than).mappings()
        return [dict(row) for row in rows]


def settle(shop: Shop, key: str, decision: str, decided_by: str, at: datetime | None = None) -> Counts:
    """What a person has decided about the unknown message `key`: it was ``sent``, or it is to be sent ``again``.

    `again` plans it once more; the claim checks every rule again. Returns the message's state. Raises InputError for a
    decision without a name or of another kind, StateError where the message is not unknown, or expired: too late.
    """
    _check(decision, decided_by)
    now = _instant(at)
    with shop.engine.begin() as connection:
        lock(connection, "delivery", "claim")
        written = _decide(connection, key, decision, decided_by, now)
        if written is None:
            found = run(connection, "ledger/state_of", message_key=key).first()
            if found is None:
                raise InputError(f"There is no message with the key {key[:80]!r}.")
            if found.state != "unknown":
                raise StateError(f"The message is {found.state}, not unknown: nothing is left to decide.")
            raise StateError(
                f"too_late: the message expired at {found.expires_at.isoformat()} and can no longer be sent. It stays "
                "unknown, unless you know that it was sent (--as sent)."
            )
        release_reservations(connection, [written] if written["state"] == "planned" else [])
        return {"message_key": key, "state": written["state"]}


def lost(shop: Shop, older_than: timedelta = LOST_AFTER, at: datetime | None = None) -> Counts:
    """What is to be asked of a person: `lost`, a list of groups of messages that were lost together.

    Each says how many `messages`, `since` when, and carries the question as `subject` and `body`, in Markdown. What was
    attempted less than `older_than` before `at` (now) may still be settled by a report, and is not asked about.
    """
    now = _instant(at)
    with shop.engine.connect() as connection:
        rows = run(connection, "ledger/lost", before=now - older_than, now=now).mappings().all()
    return {"lost": [{**row, **_question(shop.settings, dict(row))} for row in rows]}


def settle_lost(shop: Shop, group: Row, option: str, decided_by: str, at: datetime | None = None) -> Counts:
    """What a person has decided about a `group` of `lost`: one of OPTIONS.

    Returns how many messages are `accepted` or `planned` by that, and how many were `left`: settled by evidence
    meanwhile, or expired, so that they cannot be sent again. Raises InputError for another option.
    """
    if option not in OPTIONS:
        raise InputError(f"There is no option {option!r}; choose one of {', '.join(OPTIONS)}.")
    counts: Counts = {"accepted": 0, "planned": 0, "left": group["messages"]}
    if not (decision := OPTIONS[option]):
        return counts
    _check(decision, decided_by)
    now = _instant(at)
    which = {name: group[name] for name in ("claim", "campaign", "step", "channel", "reason", "until")}
    with shop.engine.begin() as connection:
        lock(connection, "delivery", "claim")
        keys = run(connection, "ledger/lost_keys", **which).scalars().all()
        written = [row for key in keys if (row := _decide(connection, key, decision, decided_by, now))]
        release_reservations(connection, [row for row in written if row["state"] == "planned"])
    counts[STATES[decision]] = len(written)
    counts["left"] -= len(written)
    return counts


def resend(shop: Shop, older_than: timedelta = LOST_AFTER, at: datetime | None = None) -> Counts:
    """Plan once more what has been unknown for so long, in campaigns that say ``policy: resend``; how many messages.

    Once a message, inside its grace, and the claim checks every rule again. It is noted as decided by the policy.
    """
    now = _instant(at)
    with shop.engine.begin() as connection:
        lock(connection, "delivery", "claim")
        rows = run(connection, "ledger/resend", before=now - older_than, now=now).mappings().all()
        for row in rows:
            _record(connection, row["customer_id"], row["message_key"], "again", "policy: resend", now)
        release_reservations(connection, rows)
    return {"planned": len(rows)}


def _check(decision: str, decided_by: str) -> None:
    if decision not in DECISIONS:
        raise InputError(f"There is no decision {decision!r}; write one of {', '.join(DECISIONS)}.")
    if not decided_by.strip():
        raise InputError("Say who decides: --by NAME.")


def _decide(connection: Connection, key: str, decision: str, decided_by: str, now: datetime) -> Row | None:
    """Settle one message, and who decided that; None where it is not unknown, or cannot be sent again any more."""
    written = run(connection, "ledger/settle_unknown", message_key=key, decision=decision, now=now).mappings().first()
    if written is None:
        return None
    _record(connection, written["customer_id"], key, decision, decided_by.strip(), now)
    return dict(written)


def _record(connection: Connection, customer_id: int, key: str, decision: str, decided_by: str, now: datetime) -> None:
    run(
        connection,
        "ledger/record_decision",
        customer_id=customer_id,
        message_key=key,
        now=now,
        decision=decision,
        decided_by=decided_by,
    )


def _question(settings: Settings, group: Row) -> dict[str, str]:
    since = group["since"].astimezone(settings.shop_time_zone)
    facts = {
        "campaign": group["campaign"],
        "step": f"{group['step']} ({group['channel']})",
        "messages": group["messages"],
        "attempted": f"{since:%Y-%m-%d %H:%M %Z}",
        "why nobody knows": group["reason"],
        "looked up at the provider, not found": group["looked_up"],
        "could still be sent": group["in_time"],
    }
    many = "" if group["messages"] == 1 else "s"
    table = "\n".join(f"| {name} | {value} |" for name, value in facts.items())
    return {
        "subject": f"{group['messages']} message{many} of {group['campaign']}, {group['step']}: were they sent?",
        "body": f"| | |\n|---|---|\n{table}\n\n"
        "- **sent**: they count as accepted.\n"
        "- **send again**: those that could still be sent are planned once more, and every rule is checked again. "
        "Whoever had got it after all gets it twice.\n"
        "- **leave unknown**, or no answer: nothing changes, and tomorrow this is asked again.\n",
    }


def restored(shop: Shop, backup_at: datetime, at: datetime | None = None) -> Counts:
    """After a restore, before any worker starts: what may have been sent since the backup becomes unknown.

    `backup_at` is the instant the copy was made, `at` (now) that of the restore. Also messages planned again later that
    were due before the restore become unknown when they are claimed for a provider. Twice is like once. Returns how
    many messages became unknown. Raises InputError for a backup after the restore or an instant without an offset.
    """
    now = _instant(at)
    if _instant(backup_at) > now:
        raise InputError(f"The backup is of {backup_at.isoformat()}, which is later than now.")
    with shop.engine.begin() as connection:
        lock(connection, "delivery", "claim")
        run(connection, "ledger/record_restore", claim=str(uuid4()), backup_at=backup_at, now=now)
        became = len(run(connection, "ledger/restored", backup_at=backup_at).all())
        run(connection, "offers/issue_restored_coupons", shop_zone=shop.settings.shop_time_zone.key)
        return {"unknown": became}


def _instant(at: datetime | None) -> datetime:
    if at is None:
        return clock.now()
    if at.tzinfo is None:
        raise InputError(f"{at.isoformat()} has no offset; write it like 2026-11-21T09:00:00+01:00.")
    return at
