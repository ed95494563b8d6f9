"""What a provider's request says, in our words. Addresses and texts are left behind here: they are not stored.

Nothing in this module raises for what stands in a request: what cannot be understood is not an event of ours.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

# Whom a report concerns beyond its message: the channel and the reason of the suppression.
UNSUBSCRIBED = ("all", "unsubscribed")
STOPPED = ("all", "stopped")
COMPLAINT = ("all", "complaint")
HARD_BOUNCE = ("email", "hard_bounce")
INVALID_NUMBER = ("sms", "invalid_number")

_OPT_OUTS = {"unsubscribe": UNSUBSCRIBED, "group_unsubscribe": UNSUBSCRIBED, "spamreport": COMPLAINT}
_DROPS = {
    "unsubscribed_address": UNSUBSCRIBED,
    "spam_reporting_address": COMPLAINT,
    "bounced_address": HARD_BOUNCE,
    "invalid": HARD_BOUNCE,
}
_INVALID = {"21211", "21614", "21635", "30005", "30006"}

_KEY = re.compile(r"[\w.:-]{1,100}")
_KIND = re.compile(r"[a-z_]{1,40}")
_NUMBER = re.compile(r"-?\d{1,19}")
_SID = re.compile(r"\w{2,64}")


@dataclass(frozen=True, kw_only=True)
class Event:
    """One thing that happened to one message of one customer, or one text that a customer sent (no message_key)."""

    customer_id: int
    event_key: str
    message_key: str | None
    kind: str
    detail: str | None = None
    link: str | None = None
    agent: str | None = None
    provider_id: str | None = None
    occurred_at: datetime

    @property
    def suppression(self) -> tuple[str, str] | None:
        """Channel and reason, where the customer must not be written to from now on."""
        if self.kind in _OPT_OUTS:
            return _OPT_OUTS[self.kind]
        if self.kind == "bounce" and self.detail == "bounce":
            return HARD_BOUNCE
        if self.kind == "dropped":
            return _DROPS.get(self.detail or "")
        if self.kind in ("failed", "undelivered"):
            return STOPPED if self.detail == "21610" else INVALID_NUMBER if self.detail in _INVALID else None
        return None


def from_sendgrid(content: str, received_at: datetime) -> list[Event]:
    """The events of a report that are about our messages. Raises ValueError for what is no report at all."""
    try:
        items = json.loads(content)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ValueError("not a list of events")
    return [event for item in items if (event := _sendgrid_event(item, received_at))]


def from_twilio(query: Mapping[str, str], form: Mapping[str, str], received_at: datetime) -> Event | None:
    """The event of a status callback; None if it is about no message of ours."""
    message_key, customer_id = _key(query.get("message_key")), _customer(query.get("customer_id"))
    sid, kind = form.get("MessageSid", ""), form.get("MessageStatus", "").lower()
    if message_key is None or customer_id is None or not _SID.fullmatch(sid) or not _KIND.fullmatch(kind):
        return None
    code = form.get("ErrorCode", "")
    return Event(
        customer_id=customer_id,
        event_key=f"{sid} {kind}",
        message_key=message_key,
        kind=kind,
        detail=code if re.fullmatch(r"\d{4,6}", code) else None,
        provider_id=sid,
        occurred_at=received_at,  # a callback does not say when
    )


def text_sent(form: Mapping[str, str], customer_id: int, asked: str, received_at: datetime) -> Event | None:
    """The event of a text that a customer sent; None without its id. The text itself is not kept."""
    sid = form.get("MessageSid", "")
    if not _SID.fullmatch(sid):
        return None
    return Event(
        customer_id=customer_id,
        event_key=f"{sid} received",
        message_key=None,
        kind=asked,
        provider_id=sid,
        occurred_at=received_at,
    )


def clicked(
    customer_id: int, message_key: str, shop: str, path: str, method: str, agent: str | None, received_at: datetime
) -> Event:
    """The event of a link of ours that was followed; the same program within a minute is one event."""
    link = _link(f"{shop.rstrip('/')}/{path}")
    said = f"{message_key}\x1f{link}\x1f{method}\x1f{agent}\x1f{int(received_at.timestamp()) // 60}"
    return Event(
        customer_id=customer_id,
        event_key="click " + hashlib.sha256(said.encode()).hexdigest()[:32],
        message_key=message_key,
        kind="click",
        detail="head" if method == "HEAD" else None,
        link=link,
        agent=agent,
        occurred_at=received_at,
    )


def _sendgrid_event(item: dict[str, Any], received_at: datetime) -> Event | None:
    message_key, customer_id = _key(item.get("message_key")), _customer(item.get("customer_id"))
    kind = item.get("event")
    if message_key is None or customer_id is None or not isinstance(kind, str) or not _KIND.fullmatch(kind):
        return None  # a mail that is not ours, like a password's reset over the same account
    return Event(
        customer_id=customer_id,
        event_key=_event_key(item),
        message_key=message_key,
        kind=kind,
        detail=_detail(kind, item),
        link=_link(item.get("url")) if kind == "click" else None,
        agent=text(item.get("useragent"), 200) if kind == "click" else None,
        provider_id=(text(item.get("sg_message_id"), 200) or "").split(".")[0] or None,
        occurred_at=_instant(item.get("timestamp"), received_at),
    )


def _event_key(item: dict[str, Any]) -> str:
    """SendGrid's id of the event; without one, a hash of all it says."""
    given = item.get("sg_event_id")
    if isinstance(given, str) and re.fullmatch(r"[\w=-]{1,100}", given, re.ASCII):
        return given
    said = json.dumps({key: value for key, value in item.items() if key != "sg_event_id"}, sort_keys=True)
    return "sha256 " + hashlib.sha256(said.encode()).hexdigest()


def _detail(kind: str, item: dict[str, Any]) -> str | None:
    """The sort of a bounce or drop. SendGrid's own sentence is not kept: it quotes the address."""
    if kind == "bounce":
        is_soft = item.get("type") == "blocked" or str(item.get("status", ""))[:1] == "4"
        return "blocked" if is_soft else "bounce"
    return drop_detail(item.get("reason")) if kind == "dropped" else None


def drop_detail(reason: object) -> str:
    """The sort of a drop, by the words that SendGrid gives for it."""
    words = re.sub(r"[^a-z]+", "_", (text(reason, 60) or "").lower()).strip("_")
    return words if words in _DROPS else "other"


def _link(url: object) -> str:
    """Where a link led, without what may say who followed it."""
    try:
        parts = urlsplit(text(url, 2000) or "")
        path = "/u" if parts.path.startswith("/u/") else parts.path
        return f"{parts.scheme}://{parts.hostname or ''}{path}"[:300]
    except ValueError:
        return ""


def _instant(value: object, received_at: datetime) -> datetime:
    """By the provider's clock, but never after we heard of it."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e11:
        return received_at
    return min(datetime.fromtimestamp(value, UTC), received_at)


def _key(value: object) -> str | None:
    return value if isinstance(value, str) and _KEY.fullmatch(value) else None


def _customer(value: object) -> int | None:
    if not isinstance(value, str | int) or isinstance(value, bool) or not _NUMBER.fullmatch(str(value)):
        return None
    number = int(value)
    return number if -(2**63) <= number < 2**63 else None


def text(value: object, length: int) -> str | None:
    """`value` if it is text, so that PostgreSQL can keep it."""
    if not isinstance(value, str):
        return None
    return value[:length].replace("\0", "").encode("utf-8", "replace").decode()
