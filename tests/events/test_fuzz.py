"""Whatever is sent, by whoever has signed it: never a failure of ours, and nothing changes for who did not sign."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
import schemathesis
from desk import KEY, NOW, PUBLIC, TOKEN, Desk, signed, signed_by_shop
from fastapi import FastAPI
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from starlette.datastructures import ImmutableMultiDict
from twilio.request_validator import RequestValidator

from retention.core.settings import Settings
from retention.delivery.rendering.links import click_token, unsubscribe_token
from retention.events.http import service

FUZZ = settings(
    max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None
)
INCLUDE = Path(__file__).resolve().parents[2] / "include"
TEXT = {"type": "string"}
EVENT = {
    "type": "object",
    "required": ["event", "message_key", "customer_id"],
    "properties": {
        "event": {"enum": ["processed", "delivered", "bounce", "dropped", "click", "open", "unsubscribe"]},
        "message_key": {"enum": ["A-email", "B-sms"]},
        "customer_id": {"type": ["string", "integer"]},
        "timestamp": {"type": ["number", "string"]},
        "sg_event_id": TEXT,
        "sg_message_id": TEXT,
        "url": TEXT,
        "useragent": TEXT,
        "reason": TEXT,
        "type": {"enum": ["bounce", "blocked"]},
        "status": TEXT,
    },
}
USE = {
    "type": "object",
    "required": ["code", "order_ref"],
    "properties": {"code": TEXT, "order_ref": TEXT, "redeemed_at": {"type": "string", "format": "date-time"}},
}
FORM = {
    "type": "object",
    "properties": dict.fromkeys(["MessageSid", "MessageStatus", "ErrorCode", "From", "Body", "OptOutType"], TEXT),
}
# What the service reads from bodies by itself, so that the application's own schema does not say it.
BODIES = {
    "/events/sendgrid": ("application/json", {"type": "array", "items": EVENT}),
    "/events/coupons": ("application/json", {"type": "array", "items": USE}),
    "/events/twilio": ("application/x-www-form-urlencoded", FORM),
    "/events/twilio/inbound": ("application/x-www-form-urlencoded", FORM),
    "/u/{token}": ("application/x-www-form-urlencoded", {"type": "object", "properties": {"List-Unsubscribe": TEXT}}),
}


def operations() -> list[Any]:
    """Every route of the application, by its OpenAPI schema, with what it reads."""
    nowhere = Settings(include=INCLUDE, local=Path(), database_url="postgresql://nobody@127.0.0.1:1/none")
    described: dict[str, Any] = service.create_app(service.opened(nowhere)).openapi()
    for path, (kind, schema) in BODIES.items():
        described["paths"][path]["post"]["requestBody"] = {"required": True, "content": {kind: {"schema": schema}}}
    found = schemathesis.openapi.from_dict(described).get_all_operations()
    return [each.ok() for each in found]


# What fits the schema, and where there is something not to fit, what does not.
CASES = [(each, GenerationMode.POSITIVE) for each in operations()]
CASES += [(each, GenerationMode.NEGATIVE) for each, _ in CASES if BODIES.get(each.path, [""])[0] == "application/json"]
NAMES = [f"{mode.value} {each.method} {each.path}" for each, mode in CASES]


def sign(path: str, query: str, body: bytes) -> dict[str, str]:
    """The headers with which whoever may sends this."""
    if path == "/events/sendgrid":
        return signed(body, NOW, KEY)
    if path == "/events/coupons":
        return signed_by_shop(body, NOW)
    if path.startswith("/events/twilio"):
        url = PUBLIC + path + (f"?{query}" if query else "")
        form = ImmutableMultiDict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
        return {"X-Twilio-Signature": RequestValidator(TOKEN).compute_signature(url, form)}
    return {}


def send(desk: Desk, case: Any, *, is_signed: bool) -> int:
    """The status that the request of `case` gets."""
    try:
        made = requests.Request(**case.as_transport_kwargs(base_url=PUBLIC)).prepare()
    except (requests.RequestException, ValueError):
        assume(False)
    body = made.body if isinstance(made.body, bytes) else (made.body or "").encode("utf-8", "replace")
    parts = urlsplit(str(made.url))
    headers = {name: str(value).encode("latin-1", "replace") for name, value in made.headers.items()}
    headers.pop("Content-Length", None)
    if is_signed:
        headers |= {name: value.encode() for name, value in sign(case.operation.path, parts.query, body).items()}
    url = parts.path + (f"?{parts.query}" if parts.query else "")
    return desk.client.request(str(made.method), url, content=body, headers=headers, follow_redirects=False).status_code


@pytest.mark.parametrize(("operation", "mode"), CASES, ids=NAMES)
def test_no_request_of_the_schema_makes_the_service_fail_or_changes_anything_unsigned(
    desk: Desk, operation: Any, mode: GenerationMode
) -> None:
    before = desk.everything()

    @FUZZ
    @given(operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        assert send(desk, case, is_signed=False) in ({200} if operation.path == "/health" else range(400, 500))

    ask()
    assert desk.everything() == before


@pytest.mark.parametrize(("operation", "mode"), CASES, ids=NAMES)
def test_no_signed_request_of_the_schema_makes_the_service_fail(
    desk: Desk, operation: Any, mode: GenerationMode
) -> None:
    make = click_token if operation.path.startswith("/c/") else unsubscribe_token
    token = make(desk.settings, desk.id("A"), "email")
    names = {"path_parameters": {"token": token, "path": "a"}} if "{token}" in operation.path else {}

    @FUZZ
    @given(operation.as_strategy(generation_mode=mode, **names))
    def ask(case: Any) -> None:
        assert send(desk, case, is_signed=True) not in {403, *range(500, 600)}  # 403: not signed after all

    ask()
    desk.apply()


# --- below what a client can be made to send ---

BYTES = st.binary(max_size=30)
PATHS = st.sampled_from(["/events/sendgrid", "/events/twilio", "/events/twilio/inbound", "/events/coupons", "/health"])
HEADERS = st.sampled_from(
    [
        b"content-type",
        b"content-length",
        b"user-agent",
        b"host",
        b"x-twilio-signature",
        b"x-retention-signature",
        b"x-retention-timestamp",
        b"x-twilio-email-event-webhook-signature",
        b"x-twilio-email-event-webhook-timestamp",
    ]
)


def status_of(app: FastAPI, method: str, path: str, query: bytes, headers: list[Any], parts: list[bytes]) -> int:
    """The status of a request that no client and no server has looked at."""
    chunks = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    waiting = iter([*chunks, {"type": "http.request", "body": b"", "more_body": False}])
    found: list[int] = []

    async def receive() -> Any:
        return next(waiting, {"type": "http.disconnect"})

    async def answer(message: Any) -> None:
        if message["type"] == "http.response.start":
            found.append(message["status"])

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "https",
        "path": path,
        "raw_path": path.encode("utf-8", "replace"),
        "query_string": query,
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 1),
        "root_path": "",
    }
    asyncio.run(app(scope, receive, answer))
    return found[0]


@settings(FUZZ, max_examples=60)
@given(
    st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "X"]),
    PATHS | st.text(max_size=20).map(lambda text: f"/u/{text}") | st.text(max_size=20).map(lambda text: f"/c/{text}"),
    BYTES,
    st.lists(st.tuples(HEADERS, BYTES | st.sampled_from([b"9" * 30, b"-1", b"1e9"])), max_size=6),
    st.lists(BYTES, max_size=3),
)
def test_no_bytes_make_the_service_fail(
    desk: Desk, method: str, path: str, query: bytes, headers: list[Any], parts: list[bytes]
) -> None:
    before = desk.everything()
    assert status_of(desk.client.app, method, path, query, headers, parts) < 500  # type: ignore[arg-type]
    assert desk.everything() == before


VALUES = st.sampled_from(
    [
        "null",
        "1e999",
        "-1e999",
        "NaN",
        "Infinity",
        "9" * 400,
        "-9223372036854775809",
        "1.5",
        '"\\ud800"',
        '"\\u0000"',
        '""',
        '"' + "x" * 5000 + '"',
        "[" * 50 + "]" * 50,
        '{"a":' * 50 + "1" + "}" * 50,
        "true",
        '"A-email"',
        '"1"',
    ]
)
FIELDS = st.sampled_from(
    [
        "event",
        "message_key",
        "customer_id",
        "timestamp",
        "sg_event_id",
        "sg_message_id",
        "url",
        "useragent",
        "reason",
        "code",
        "order_ref",
        "redeemed_at",
    ]
)


@settings(FUZZ, max_examples=60)
@given(st.lists(st.lists(st.tuples(FIELDS, VALUES), max_size=12), max_size=3), st.sampled_from(["sendgrid", "coupons"]))
def test_no_odd_json_that_is_signed_makes_the_service_fail(
    desk: Desk, items: list[list[tuple[str, str]]], who: str
) -> None:
    base = '"event": "click", "message_key": "A-email", "customer_id": "7", "code": "A", "order_ref": "1", '
    objects = [
        "{" + base + ", ".join(f'"{name}": {value}' for name, value in [*item, ("z", "1")]) + "}" for item in items
    ]
    body = ("[" + ", ".join(objects) + "]").encode()
    assert getattr(desk, who)(body).status_code in (200, 400)
    desk.apply()
