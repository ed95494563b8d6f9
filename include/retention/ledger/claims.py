"""The ledger: who may move a message, and the proof that a worker is alive.

A worker holds a session lock on its claim from before the claim is committed until all of it is settled. Whoever finds
messages being attempted under a lock that nobody holds knows that their worker is gone.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Protocol
from uuid import uuid4

from sqlalchemy import Connection
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from retention.contact import suppressions
from retention.core.database import lock, one, run
from retention.core.settings import Settings
from retention.ledger.outcomes import Outcome
from retention.offers import coupons

log = logging.getLogger(__name__)

Row = Mapping[str, Any]
Place = tuple[str, str]  # in the queue of due messages: when one is due, as PostgreSQL writes it, and its key
START: Place = ("-infinity", "")

# What a claim ends with that meets a row nobody can read or write on: psycopg's errors, or Python's own.
UNREADABLE = (DataError, IntegrityError, OverflowError, ValueError)
MOST_IN_A_ROW = 20  # rows that are quarantined one after the other; with more of them the fault is ours

# What a refusal teaches: the channel and the reason of a suppression, as the provider's later reports would write it.
SUPPRESSED_BY_REASON = {"opted_out": ("all", "stopped"), "invalid_number": ("sms", "invalid_number")}


class Handed(Protocol):
    """What the ledger asks of a message that was handed over."""

    customer_id: int
    message_key: str

    @property
    def segments(self) -> int | None:
        """What operators charge, of an SMS."""
        ...


@dataclass(kw_only=True, slots=True, eq=False)  # not frozen: that takes four times as long to make
class DueMessage:
    """One message that a worker is to hand over, with what is known of its customer, which never shows in ``repr``."""

    customer_id: int
    message_key: str
    campaign: str
    version: str = ""
    step: str
    channel: str
    variant: str | None = None  # of the step
    campaign_variant: str | None = None
    level: str | None = None
    attempts: int = 1  # this one included
    send_before: datetime  # the end of today's window
    recipient: str = field(default="", repr=False)  # an e-mail address or an E.164 number; empty where it is no message
    time_zone: str = "UTC"
    language: str | None = None
    email: str | None = field(default=None, repr=False)
    phone: str | None = field(default=None, repr=False)
    first_name: str | None = field(default=None, repr=False)
    last_name: str | None = field(default=None, repr=False)
    street: str | None = field(default=None, repr=False)
    postal_code: str | None = field(default=None, repr=False)
    city: str | None = field(default=None, repr=False)
    country: str | None = None
    last_order_on: date | None = None
    offer: str | None = None  # that the coupon is for
    offer_terms: Mapping[str, Any] | None = None  # what it said when the code was reserved
    offer_percent: Decimal | None = None
    coupon_code: str | None = field(default=None, repr=False)
    coupon_expires_at: datetime | None = None


_COLUMNS = tuple(each.name for each in fields(DueMessage))


@dataclass(frozen=True)
class Claimed:
    """A page of the queue: what its worker is to hand over now, how many got which state, and where it ended.

    Messages of other states are settled, or planned again: those wait for a cap or for another day.
    """

    messages: Sequence[DueMessage]
    decided: dict[str, int]
    end: Place


class Ledger:
    """The ledger as one worker sees it, over a connection of its own."""

    def __init__(self, settings: Settings, connection: Connection) -> None:
        self._settings = settings
        self.connection = connection
        self._in_a_row = 0  # messages quarantined since the last claim that could be read
        self._shop_zone = settings.shop_time_zone.key

    @contextlib.contextmanager
    def claim_lock(self) -> Iterator[str]:
        """A new claim, its lock held."""
        claim = str(uuid4())
        with self.connection.begin():
            run(self.connection, "ledger/acquire_claim_lock", key=_key(claim))
        try:
            yield claim
        finally:
            with contextlib.suppress(DBAPIError), self.connection.begin():  # a lost session has let go of its locks
                run(self.connection, "ledger/release_claim_lock", key=_key(claim))

    def claim(
        self,
        claim: str,
        now: datetime,
        campaign: str | None,
        providers: Mapping[str, str],
        after: Place = START,
        *,
        called_at: datetime,
        is_blocked: bool = False,
    ) -> Claimed | None:
        """Claim due messages from the page of the queue that begins after `after`, and commit. None: it ends there.

        `providers` has, for each channel that is open, who is called. `now` decides; `called_at` is the real instant,
        which is kept beside it. While `is_blocked` nothing is claimed, and only what has expired is decided on.

        What cannot be turned into a message is skipped as `unreadable`, with its key in the log. The statement finds
        such values by itself; where one is unreadable in a way that it does not know, the page is halved until the row
        is alone, without what else is due of its customer too.
        """
        which = {
            "claim": claim,
            "now": now,
            "campaign": campaign,
            "channels": list(providers),
            "after_at": after[0],
            "after_key": after[1],
            "is_blocked": is_blocked,
        }
        rest = {
            "called_at": called_at,
            "known_by": now,
            "providers": json.dumps(dict(providers)),
        }
        size, is_alone = self._settings.batch_size, False
        with self.connection.begin():
            lock(self.connection, "delivery", "claim")  # until the row is found: nobody else may move it meanwhile
            if not self._run("ledger/first_ahead", **which):
                return None  # the claim would find so too, but takes PostgreSQL long to plan
            while True:
                try:
                    with self.connection.begin_nested():
                        claimed = self._claim(size=size, is_alone=is_alone, **which, **rest)
                    self._in_a_row = 0
                    return claimed
                except UNREADABLE:
                    if is_alone and self._in_a_row == MOST_IN_A_ROW:
                        raise
                    if is_alone:
                        self._in_a_row += 1
                        return self._quarantine(after, **which)
                    size, is_alone = max(size // 2, 1), size == 1

    def _claim(self, **parameters: Any) -> Claimed | None:
        page = self._run("delivery/claim", **parameters, shop_zone=self._shop_zone)
        if not page:
            return None
        decided = [row for row in page if row["state"]]
        coupons.release(self.connection, [row for row in decided if row["state"] == "skipped"])
        attempting = [row for row in decided if row["state"] == "attempting"]
        if any(row["offer"] for row in attempting):
            issued = coupons.issue(self.connection, parameters["claim"], parameters["now"], self._shop_zone)
            expiries = {_offer(row): row["expires_at"] for row in issued}
            for row in attempting:
                row["coupon_expires_at"] = expiries.get(_offer(row), row["coupon_expires_at"])
        if any(row["state"] == "unknown" for row in decided):
            coupons.issue_restored(self.connection, self._shop_zone)
        _log_unreadable(row["message_key"] for row in decided if row["reason"] == "unreadable")
        messages = [DueMessage(**{name: row[name] for name in _COLUMNS}) for row in attempting]
        return Claimed(messages, _count(decided), (page[0]["page_at"], page[0]["page_key"]))

    def _quarantine(self, after: Place, **parameters: Any) -> Claimed | None:
        """Skip the first due message after `after`, without reading anything of it but its key."""
        written = self._run("ledger/quarantine", **parameters)
        coupons.release(self.connection, written)
        _log_unreadable(row["message_key"] for row in written)
        return Claimed([], _count(written), after) if written else None

    def settle(self, claim: str, now: datetime, settled: Sequence[tuple[Handed, Outcome]]) -> dict[str, int]:
        """Write what became of messages of `claim`; how many got which state. Call it in a transaction."""
        whom = [(message.customer_id, message.message_key, message.segments) for message, _ in settled]
        return self._settle(claim, now, whom, [outcome for _, outcome in settled])

    def settle_unmade(self, claim: str, now: datetime, settled: Sequence[tuple[DueMessage, Outcome]]) -> dict[str, int]:
        """The same for what was due and could not be made a message. Call it in a transaction."""
        whom = [(due.customer_id, due.message_key, None) for due, _ in settled]
        return self._settle(claim, now, whom, [outcome for _, outcome in settled])

    def _settle(
        self, claim: str, now: datetime, whom: Sequence[tuple[int, str, int | None]], outcomes: Sequence[Outcome]
    ) -> dict[str, int]:
        if not whom:
            return {}
        few = list({id(outcome): outcome for outcome in outcomes}.values())  # one for all that shared a request
        numbers = {id(outcome): number for number, outcome in enumerate(few, start=1)}
        written = self._run(
            "ledger/settle",
            claim=claim,
            now=now,
            customer_ids=_array(customer_id for customer_id, _, _ in whom),
            message_keys=_array(_quoted(key) for _, key, _ in whom),
            segments=_array("null" if number is None else number for _, _, number in whom),
            outcomes=_array(numbers[id(outcome)] for outcome in outcomes),
            states=[outcome.state for outcome in few],
            reasons=[outcome.reason for outcome in few],
            provider_ids=[outcome.provider_id for outcome in few],
            retry_ats=[now + outcome.after if outcome.after else None for outcome in few],
            count_as_attempts=[outcome.counts_as_attempt for outcome in few],
        )
        release_reservations(self.connection, [row for row in written if row["state"] in ("planned", "refused")])
        suppressed = [
            (customer_id, *SUPPRESSED_BY_REASON[outcome.reason], now)
            for (customer_id, _, _), outcome in zip(whom, outcomes, strict=True)
            if outcome.reason in SUPPRESSED_BY_REASON
        ]
        suppressions.suppress(self._settings, self.connection, suppressed)
        return _count(written)

    def recover_orphaned_claims(self, now: datetime) -> dict[str, int]:
        """Settle what workers that died left behind; how many messages got which state."""
        counts: dict[str, int] = {}
        with self.connection.begin():
            claims = [str(claim) for claim in run(self.connection, "ledger/attempting_claims").scalars()]
        for claim in claims:
            with self.connection.begin():
                if not one(self.connection, "ledger/is_claim_orphaned", key=_key(claim))["is_dead"]:
                    continue
                written = self._run("ledger/settle_orphaned", claim=claim, now=now)
                release_reservations(self.connection, [row for row in written if row["state"] == "planned"])
            for state, number in _count(written).items():
                counts[state] = counts.get(state, 0) + number
        return counts

    def due_channels(self, now: datetime, campaign: str | None) -> list[str]:
        """The channels, not halted, that have due messages."""
        with self.connection.begin():
            return sorted(run(self.connection, "ledger/due_channels", now=now, campaign=campaign).scalars())

    def deferred(self, now: datetime, campaign: str | None) -> tuple[int, int]:
        """How many messages are due and still planned, and how many of these a cap holds back."""
        with self.connection.begin():
            row = one(self.connection, "ledger/deferred", now=now, campaign=campaign)
            return row["messages"], row["capped"]

    def next_instant(self, start: datetime, until: datetime, after: datetime | None) -> datetime | None:
        """The first instant after `after` at which a planned message can be decided on, None if there is none."""
        parameters = {"from": start, "until": until, "after": after}
        with self.connection.begin():
            instant: datetime | None = one(
                self.connection, "ledger/next_instant", **parameters, shop_zone=self._shop_zone
            )["instant"]
        return instant

    def _run(self, name: str, **parameters: Any) -> list[dict[str, Any]]:
        result = run(self.connection, name, **parameters)
        names = tuple(result.keys())
        return [dict(zip(names, row, strict=True)) for row in result.all()]


def note_clicks(connection: Connection, clicks: Sequence[Any]) -> None:
    """Keep with each message when a person first clicked: rows of customer_id, message_key and clicked_at, or None."""
    if clicks:
        run(
            connection,
            "ledger/note_clicks",
            customer_ids=[each.customer_id for each in clicks],
            message_keys=[each.message_key for each in clicks],
            clicked_ats=[each.clicked_at for each in clicks],
        )


def release_reservations(connection: Connection, rows: Sequence[Mapping[Any, Any]]) -> None:
    """What messages that were not sent after all had taken: their coupons, and their room under the caps."""
    if rows:
        # In turn with the claims: one that has not committed yet may be counting on the same coupon.
        lock(connection, "delivery", "claim")
        coupons.release(connection, rows)
        run(connection, "ledger/free_capped", customer_ids=[row["customer_id"] for row in rows])


def _log_unreadable(keys: Iterable[str]) -> None:
    for key in keys:
        log.error("Message %s is quarantined as unreadable: see docs/states.md.", key)


def _key(claim: str) -> int:
    return int.from_bytes(hashlib.sha256(f"claim\x1f{claim}".encode()).digest()[:8], "big", signed=True)


def _offer(row: Mapping[Any, Any]) -> tuple[Any, ...]:
    return row["customer_id"], row["campaign"], row["entry_no"], row["offer"]


def _count(rows: Sequence[Row]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["state"]] = counts.get(row["state"], 0) + row.get("messages", 1)
    return counts


def _array(values: Iterable[object]) -> str:
    """An array as PostgreSQL reads it; psycopg takes ten times as long to write thousands."""
    return f"{{{','.join(map(str, values))}}}"


def _quoted(text: str) -> str:
    """`text` as an element of such an array."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
