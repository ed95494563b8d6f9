"""Requests to the web service, signed as the providers sign them, and what they leave behind."""

from __future__ import annotations

import base64
import hmac
import json
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi.testclient import TestClient
from httpx import Response
from sqlalchemy import Engine, text
from twilio.request_validator import RequestValidator

from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.delivery.rendering.links import unsubscribe_url
from retention.events import applying
from shop import NAMESPACE, ShopData

NOW = datetime.fromisoformat("2026-11-21T12:00:00+00:00")
SENT = NOW - timedelta(hours=1)
TOKEN = "twilio token"
SECRET = "the shop's secret"
PUBLIC = "https://events.shop.example"
DAY = SENT.date() - timedelta(days=1)
KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC_KEY = base64.b64encode(
    KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
).decode()
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Desk:
    """Sends requests to the service, reads what they left behind."""

    def __init__(self, settings: Settings, engine: Engine, shop: ShopData, client: TestClient) -> None:
        self.settings = settings
        self.engine = engine
        self.shop = shop
        self.client = client
        self.now = NOW

    def run(self, statement: str, **values: Any) -> list[dict[str, Any]]:
        with self.engine.begin() as connection:
            done = connection.execute(text(statement), values)
            return [dict(row) for row in done.mappings()] if done.returns_rows else []

    def id(self, ref: str) -> int:
        found: int = self.run("select shop.customer_id(:namespace, :ref) as id", namespace=NAMESPACE, ref=ref)[0]["id"]
        return found

    # --- messages ---

    def message(self, ref: str, state: str = "accepted", channel: str = "email", reason: str | None = None) -> str:
        """A message of `ref` in the ledger that a claim attempted, in `state`; its key."""
        key = f"{ref}-{channel}"
        tried = state not in ("planned", "skipped")
        self.run(
            "insert into delivery.messages (customer_id, message_key, campaign, version, entry_no, step, channel, day,"
            " state, reason, due_at, expires_at, window_start, window_end, attempts, claim, provider, attempted_at,"
            " settled_at) values (:id, :key, 'winback', 'v1', 1, :step, :channel, :day, :state, :reason, :sent, :end,"
            " '09:00', '20:00', :tries, :claim, :provider, :tried_at, :settled_at)",
            id=self.id(ref),
            key=key,
            channel=channel,
            step="hello" if channel == "email" else f"hello_{channel}",
            day=DAY,
            state=state,
            sent=SENT,
            end=SENT + timedelta(days=2),
            reason=reason or ("timeout" if state in ("unknown", "skipped", "refused") else None),
            tries=int(tried),
            claim="00000000-0000-0000-0000-000000000001" if tried else None,
            provider=("sendgrid" if channel == "email" else "twilio") if tried else None,
            tried_at=SENT if tried else None,
            settled_at=SENT if state not in ("planned", "attempting") else None,
        )
        return key

    def due(self) -> str:
        """A text to A that is due; its key."""
        day = NOW.date() - timedelta(days=1)
        self.shop.publish(day)
        self.run(
            "insert into campaigns.versions"
            " values ('winback', 'v1', cast(:definition as jsonb), cast(:templates as jsonb), '', :day)",
            definition='{"offers": {"comeback": {"valid_for": "14 days"}}}',
            templates='{"hello_sms.en.j2": "{% block text %}Hello{% endblock %}"}',
            day=day,
        )
        self.run(
            "insert into campaigns.enrolments (customer_id, campaign, entry_no, version, arm, entered_on)"
            " values (:id, 'winback', 1, 'v1', 'treated', :day)",
            id=self.id("A"),
            day=day,
        )
        self.run("update shop.customers set language = 'en'")
        return self.message("A", "planned", channel="sms")

    def state(self, key: str) -> tuple[str, str | None]:
        row = self.run("select state, reason from delivery.messages where message_key = :key", key=key)[0]
        return row["state"], row["reason"]

    def suppressions(self) -> set[tuple[str, str, str]]:
        """Customer, channel and reason of those in force."""
        found = self.run(
            "select c.customer_ref, s.channel, s.reason from shop.suppressions as s join shop.customers as c"
            " using (customer_id) where s.lifted_at is null"
        )
        return {(row["customer_ref"], row["channel"], row["reason"]) for row in found}

    def everything(self) -> list[Any]:
        """All that a request can change."""
        return [
            self.run(f"select * from {table} order by 1, 2")
            for table in (
                "events.received",
                "shop.suppressions",
                "shop.engagement",
                "shop.changes",
                "delivery.messages",
                "offers.coupons",
                "offers.redemptions",
            )
        ]

    def apply(self) -> dict[str, Any]:
        return applying.apply(Shop(self.settings, self.engine), at=self.now)

    # --- requests ---

    def event(self, ref: str, kind: str, after: float = 0, channel: str = "email", **more: Any) -> dict[str, Any]:
        """An event of SendGrid about the message of `ref`, `after` seconds after it was sent."""
        at = int((SENT + timedelta(seconds=after)).timestamp())
        return {
            "email": f"{ref}@mail.example",
            "event": kind,
            "timestamp": at,
            "message_key": f"{ref}-{channel}",
            "customer_id": str(self.id(ref)),
            "sg_event_id": f"{ref}{kind}{after}".replace(".", "_"),
            "sg_message_id": "abc.recv-1",
            **more,
        }

    def sendgrid(self, events: Any, *, at: datetime | None = None, key: Any = KEY) -> Response:
        body = events if isinstance(events, bytes) else json.dumps(events).encode() + b"\r\n"
        return self.client.post("/events/sendgrid", content=body, headers=signed(body, at or self.now, key))

    def twilio(self, path: str, form: dict[str, str], token: str = TOKEN, public: str = PUBLIC) -> Response:
        signature = RequestValidator(token).compute_signature(public + path, form)
        return self.client.post(path, content=urlencode(form), headers=FORM | {"X-Twilio-Signature": signature})

    def callback(self, ref: str, status: str, **more: str) -> Response:
        query = urlencode({"message_key": f"{ref}-sms", "customer_id": self.id(ref)})
        form = {"MessageSid": f"SM{ref}", "MessageStatus": status, "To": "+31600000001", **more}
        return self.twilio(f"/events/twilio?{query}", form)

    def says(self, ref: str, body: str, sid: str = "SM1", **more: str) -> Response:
        phone = self.run("select phone from shop.customers where customer_ref = :ref", ref=ref)[0]["phone"]
        return self.twilio("/events/twilio/inbound", {"From": phone, "Body": body, "MessageSid": sid, **more})

    def coupons(self, uses: Any, *, at: datetime | None = None, secret: str = SECRET) -> Response:
        body = uses if isinstance(uses, bytes) else json.dumps(uses).encode()
        return self.client.post("/events/coupons", content=body, headers=signed_by_shop(body, at or self.now, secret))

    def link(self, ref: str, channel: str = "email") -> str:
        return unsubscribe_url(self.settings, self.id(ref), channel).removeprefix(PUBLIC)


def signed(body: bytes, at: datetime, key: Any = KEY) -> dict[str, str]:
    """The headers of SendGrid's signature."""
    stamp = str(int(at.timestamp()))
    signature = base64.b64encode(key.sign(stamp.encode() + body, ec.ECDSA(hashes.SHA256()))).decode()
    return {
        "X-Twilio-Email-Event-Webhook-Signature": signature,
        "X-Twilio-Email-Event-Webhook-Timestamp": stamp,
        "Content-Type": "application/json",
    }


def signed_by_shop(body: bytes, at: datetime, secret: str = SECRET) -> dict[str, str]:
    """The headers of a request of the shop's own system."""
    stamp = str(int(at.timestamp()))
    signature = hmac.new(secret.encode(), stamp.encode() + b"." + body, "sha256").hexdigest()
    return {"X-Retention-Timestamp": stamp, "X-Retention-Signature": f"sha256={signature}"}
