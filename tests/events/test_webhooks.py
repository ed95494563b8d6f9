"""Who may tell us something; nobody else changes anything."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from desk import FORM, NOW, PUBLIC, Desk, signed
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retention.core import database
from retention.core.errors import InputError
from retention.core.shop import Shop
from retention.events.http import service

FUZZ = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
NAMES = [
    "event",
    "message_key",
    "customer_id",
    "sg_event_id",
    "timestamp",
    "type",
    "status",
    "reason",
    "url",
    "useragent",
    "sg_message_id",
]
KINDS = ["processed", "delivered", "bounce", "dropped", "click", "open", "unsubscribe", "spamreport", "deferred"]
EVENTS = st.lists(
    st.fixed_dictionaries(
        {"event": st.sampled_from(KINDS), "message_key": st.just("A-email"), "customer_id": st.integers()},
        optional=dict.fromkeys(NAMES[3:], JUNK),
    )
    | st.dictionaries(st.sampled_from(NAMES), JUNK),
    max_size=5,
)


def test_a_signed_report_is_stored_without_addresses(desk: Desk) -> None:
    answer = desk.sendgrid([desk.event("A", "bounce", type="bounce", reason="550 A@mail.example is unknown")])
    assert (answer.status_code, answer.json()) == (200, {"ours": 1, "new": 1})
    stored = str(desk.run("select * from events.received"))
    assert "bounce" in stored
    assert "@" not in stored


def test_a_report_that_comes_twice_is_stored_once(desk: Desk) -> None:
    events = [desk.event("A", "processed"), desk.event("A", "delivered")]
    assert desk.sendgrid(events).json()["new"] == 2
    desk.now += timedelta(hours=20)
    assert desk.sendgrid([*events, events[0]], at=desk.now).json()["new"] == 0
    nameless = [{key: value for key, value in events[0].items() if key != "sg_event_id"}]
    assert [desk.sendgrid(nameless).json()["new"] for _ in range(2)] == [1, 0]


def test_mails_that_are_not_ours_are_let_pass(desk: Desk) -> None:
    answer = desk.sendgrid([{"event": "delivered", "email": "x@mail.example", "timestamp": 1, "sg_event_id": "x"}])
    assert (answer.status_code, answer.json()["ours"]) == (200, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"X-Twilio-Email-Event-Webhook-Signature": None},
        {"X-Twilio-Email-Event-Webhook-Timestamp": None},
        {"X-Twilio-Email-Event-Webhook-Signature": "not base64 at all"},
        {"X-Twilio-Email-Event-Webhook-Signature": "AAAA"},
        {"X-Twilio-Email-Event-Webhook-Timestamp": "1"},
        {"X-Twilio-Email-Event-Webhook-Timestamp": "yesterday"},
    ],
)
def test_an_unsigned_report_changes_nothing(desk: Desk, change: dict[str, str | None]) -> None:
    before = desk.everything()
    body = json.dumps([desk.event("A", "unsubscribe")]).encode()
    headers = {name: value for name, value in (signed(body, NOW) | change).items() if value is not None}
    assert desk.client.post("/events/sendgrid", content=body, headers=headers).status_code == 403
    assert desk.everything() == before


def test_a_report_signed_by_another_key_or_too_long_ago_changes_nothing(desk: Desk) -> None:
    before = desk.everything()
    events = [desk.event("A", "unsubscribe")]
    assert desk.sendgrid(events, key=ec.generate_private_key(ec.SECP256R1())).status_code == 403
    assert desk.sendgrid(events, at=NOW - timedelta(hours=49)).status_code == 403
    assert desk.sendgrid(events, at=NOW + timedelta(hours=1)).status_code == 403
    assert desk.everything() == before


def test_bodies_that_are_too_large_or_malformed_change_nothing(desk: Desk) -> None:
    before = desk.everything()
    bodies = {
        b"[" + b" " * 1_000_000 + b"]": 413,
        b"[" * 100_000: 400,
        b'{"event": "open"}': 400,
        b"[1]": 400,
        b"": 400,
        b"\xff\xfe": 400,
        b"[" + b"9" * 5000 + b"]": 400,
    }
    for body, status in bodies.items():
        assert desk.sendgrid(body).status_code == status, body[:20]
    large = {"MessageSid": "SM1", "MessageStatus": "sent", "Body": "x" * 64_000}
    assert desk.twilio("/events/twilio?message_key=k&customer_id=1", large).status_code == 413
    assert desk.twilio("/events/twilio", {"MessageStatus": "sent"}).status_code == 400
    assert desk.twilio("/events/twilio/inbound", {"Body": "STOP"}).status_code == 400
    assert desk.everything() == before


def test_a_chunked_body_without_a_length_is_read_no_further_than_the_limit(desk: Desk) -> None:
    chunks = (b" " * 100_000 for _ in range(20))
    assert desk.client.post("/events/sendgrid", content=chunks).status_code == 413


@FUZZ
@given(EVENTS)
def test_no_signed_report_makes_the_service_fail(desk: Desk, events: list[Any]) -> None:
    body = json.dumps(events).encode()
    answer = desk.client.post("/events/sendgrid", content=body, headers=signed(body, NOW))
    assert answer.status_code == 200
    desk.apply()


@FUZZ
@given(
    st.sampled_from(["/events/sendgrid", "/events/twilio", "/events/twilio/inbound", "/u/x", "/u/A%00"]),
    st.binary(max_size=200),
    st.text(max_size=50).map(lambda text: text.encode("utf-8", "replace")),
)
def test_no_garbage_makes_the_service_fail_or_changes_anything(
    desk: Desk, path: str, body: bytes, header: bytes
) -> None:
    before = desk.everything()
    value = header.replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b"")
    names = ["X-Twilio-Signature", "X-Twilio-Email-Event-Webhook-Signature", "Content-Type"]
    headers = [(name.encode(), value) for name in names]
    headers.append((b"X-Twilio-Email-Event-Webhook-Timestamp", str(int(NOW.timestamp())).encode()))
    assert 400 <= desk.client.post(path, content=body, headers=headers).status_code < 500
    assert desk.everything() == before


@FUZZ
@given(
    st.dictionaries(
        st.sampled_from(["MessageSid", "MessageStatus", "ErrorCode", "From", "Body", "OptOutType"]),
        st.text(max_size=30),
    ),
    st.text(max_size=30),
)
def test_no_signed_form_makes_the_service_fail(desk: Desk, form: dict[str, str], key: str) -> None:
    form = {name: value.encode("utf-8", "replace").decode() for name, value in form.items()}
    for path in ("/events/twilio?message_key=k&customer_id=1", "/events/twilio/inbound"):
        assert desk.twilio(path, form).status_code in (200, 400)


def test_a_callback_is_checked_over_the_public_address_with_its_query(desk: Desk) -> None:
    desk.message("A", channel="sms")
    assert desk.callback("A", "delivered").json() == {"ours": 1, "new": 1}
    assert desk.callback("A", "delivered").json()["new"] == 0
    before = desk.everything()
    form = {"MessageSid": "SMA", "MessageStatus": "failed"}
    path = f"/events/twilio?message_key=A-sms&customer_id={desk.id('A')}"
    assert desk.twilio(path, form, token="another").status_code == 403
    assert desk.twilio(path, form, public="https://elsewhere.example").status_code == 403
    assert desk.client.post(path, data=form).status_code == 403
    assert desk.everything() == before


def test_without_keys_nothing_is_taken(desk: Desk) -> None:
    bare = desk.settings.evolve(sendgrid_webhook_public_key=None, twilio_auth_token=None)
    client = TestClient(service.create_app(Shop(bare, desk.engine)), base_url=PUBLIC)
    body = b"[]"
    assert client.post("/events/sendgrid", content=body, headers=signed(body, NOW)).status_code == 403
    assert client.post("/events/twilio", content=body, headers=FORM).status_code == 403


def test_a_key_that_is_none_is_said_at_the_start(desk: Desk) -> None:
    with pytest.raises(InputError, match="SENDGRID_WEBHOOK_PUBLIC_KEY"):
        service.create_app(Shop(desk.settings.evolve(sendgrid_webhook_public_key="a key"), desk.engine))


def test_while_the_database_is_away_providers_are_asked_to_come_again(desk: Desk) -> None:
    away = desk.settings.evolve(database_url="postgresql://nobody@127.0.0.1:1/none")
    app = service.create_app(Shop(away, database.connect(away, pool=1), lambda: NOW))
    client = TestClient(app, base_url=PUBLIC)
    event = json.dumps([desk.event("A", "delivered")]).encode()
    assert client.post("/events/sendgrid", content=event, headers=signed(event, NOW)).status_code == 503
    assert client.post(desk.link("A"), content="List-Unsubscribe=One-Click").status_code == 503
    assert client.get("/health").status_code == 503
    assert desk.client.get("/health").json() == {"ok": True, "clicks_lost": 0}
