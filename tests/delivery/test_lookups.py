"""Look-ups: what the providers show of unknown messages settles them; what they do not show proves nothing."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from sqlalchemy import Engine

from local_provider import Provider
from planner import MORNING, Planner
from retention.cli import console as cli
from retention.core import channels
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.delivery.operations import unknown
from retention.events import lookups
from shop import ShopData

HOUR = timedelta(hours=1)
LATER = MORNING + 2 * HOUR
PHONE = "+31612345678"


class Lost:
    """Messages that became unknown at MORNING, and what a look-up two hours later makes of them."""

    def __init__(self, settings: Settings, engine: Engine, planner: Planner, shop: ShopData) -> None:
        self.settings, self.engine, self.planner, self.shop = settings, engine, planner, shop
        self.pauses: list[float] = []

    def message(self, ref: str, channel: str = "email", **changes: Any) -> str:
        step, offer = ("hello", None) if channel == "email" else ("nudge", "comeback")
        key = self.planner.message(self.shop.customer(ref, phone=PHONE), step=step, channel=channel, offer=offer)
        values: dict[str, Any] = {
            "state": "unknown",
            "reason": "timeout",
            "attempts": 1,
            "attempted_at": MORNING,
            "settled_at": MORNING + timedelta(seconds=10),
            "provider": "sendgrid" if channel == "email" else "twilio",
            "provider_id": None,
            **changes,
        }
        changed = ", ".join(f"{name} = :{name}" for name in values)
        statement = f"update delivery.messages set claim = gen_random_uuid(), {changed} where message_key = :key"
        self.planner.run(statement, key=key, **values)
        return key

    def look_up(self, at: datetime = LATER, **changes: Any) -> Any:
        return lookups.look_up(Shop(self.settings.evolve(**changes), self.engine), at=at, pause=self.pauses.append)


@pytest.fixture
def lost(live: Settings, engine: Engine, planner: Planner, shop: ShopData) -> Lost:
    return Lost(live, engine, planner, shop)


def activity(*messages: dict[str, Any], status: str = "delivered") -> dict[str, Any]:
    return {"messages": list(messages) or [{"msg_id": "abc.filter1", "to_email": "x@mail.example", "status": status}]}


def text(created: datetime = MORNING, **changes: Any) -> dict[str, Any]:
    return {
        "sid": "SM" + "1" * 32,
        "direction": "outbound-api",
        "from": "+31600000000",
        "to": PHONE,
        "status": "delivered",
        "body": "Ada, 10% with CODEADA",
        "date_created": format_datetime(created.astimezone(UTC)),
        "error_code": None,
        **changes,
    }


def texts(*each: dict[str, Any]) -> Any:
    return lambda request: (200, {}, {"messages": list(each), "next_page_uri": None})


def test_a_mail_is_asked_for_by_its_key_and_what_is_shown_settles_it(
    lost: Lost, provider: Provider, planner: Planner
) -> None:
    key = lost.message("ada")
    provider.answer = lambda request: (200, {}, activity())
    assert lost.look_up() == {"found": 1, "not_found": 0, "left": 0}
    assert planner.state(key) == ("delivered", None)
    assert planner.one(key)["provider_id"] == "abc"
    [request] = provider.requests
    assert (request["method"], urlsplit(request["path"]).path) == ("GET", "/v3/messages")
    assert parse_qs(urlsplit(request["path"]).query) == {
        "query": [f"(unique_args['message_key']=\"{key}\")"],
        "limit": ["1"],
    }
    assert lost.look_up() == {"found": 0, "not_found": 0, "left": 0}
    assert len(provider.requests) == 1


@pytest.mark.parametrize(
    ("status", "events", "state", "suppression"),
    [
        ("processed", [], ("accepted", None), None),
        (
            "not_delivered",
            [{"event_name": "processed"}, {"event_name": "bounced", "bounce_type": "hard"}],
            ("bounced", "hard_bounce"),
            ("email", "hard_bounce"),
        ),
        ("not_delivered", [{"event_name": "bounced", "bounce_type": "soft"}], ("bounced", "blocked"), None),
        (
            "not_delivered",
            [{"event_name": "dropped", "reason": "Unsubscribed Address"}],
            ("refused", "dropped: unsubscribed_address"),
            ("all", "unsubscribed"),
        ),
        ("not_delivered", [{"event_name": "deferred"}], ("accepted", None), None),
    ],
)
def test_what_became_of_a_mail_that_was_not_delivered_is_asked_for_too(
    lost: Lost, provider: Provider, planner: Planner, status: str, events: list[Any], state: Any, suppression: Any
) -> None:
    key = lost.message("ada")
    provider.answer = lambda request: (
        (200, {}, {"status": status, "events": events})
        if request["path"].startswith("/v3/messages/")
        else (200, {}, activity(status=status))
    )
    assert lost.look_up()["found"] == 1
    assert planner.state(key) == state
    rows = planner.run("select channel, reason from shop.suppressions")
    assert [tuple(row.values()) for row in rows] == ([suppression] if suppression else [])


def test_what_is_not_found_stays_unknown_with_the_instant_of_the_look_up(
    lost: Lost, provider: Provider, planner: Planner
) -> None:
    keys = [lost.message("ada"), lost.message("bob")]
    provider.answer = lambda request: (200, {}, {"messages": []})
    assert lost.look_up() == {"found": 0, "not_found": 2, "left": 0}
    assert [planner.state(key) for key in keys] == [("unknown", "timeout")] * 2
    assert [row["looked_up_at"] for row in unknown.unknown(Shop(lost.settings, lost.engine), at=LATER)] == [
        LATER,
        LATER,
    ]
    assert lost.pauses == [10]  # six a minute


def test_only_what_is_old_enough_is_asked_for_and_the_least_recently_asked_for_first(
    lost: Lost, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(channels.CHANNELS, "email", replace(channels.get("email"), look_ups_at_once=1))
    ada, bob = lost.message("ada"), lost.message("bob", attempted_at=MORNING + timedelta(minutes=30))
    provider.answer = lambda request: (200, {}, {"messages": []})
    assert lost.look_up(MORNING + HOUR) == {"found": 0, "not_found": 1, "left": 0}
    assert lost.look_up() == {"found": 0, "not_found": 1, "left": 1}
    asked = [unquote(request["path"]) for request in provider.requests]
    assert [key in path for key, path in zip((ada, bob), asked, strict=True)] == [True, True]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (429, "six look-ups a minute"),
        (403, "add-on for email activity"),
        (500, "answered 500"),
        (None, "did not answer"),
    ],
)
def test_a_provider_that_refuses_to_look_is_asked_no_more_and_the_reason_is_said_once(
    lost: Lost,
    provider: Provider,
    planner: Planner,
    answer: int | None,
    said: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    keys = [lost.message(ref) for ref in ("ada", "bob", "carol")]
    found = activity()

    def answers(request: dict[str, Any]) -> Any:
        if len(provider.requests) == 1:
            return 200, {}, found
        if answer is None:
            raise ConnectionResetError("on purpose")
        return answer, {}, {"errors": [{"message": "no x@mail.example"}]}

    provider.answer = answers
    counts = lost.look_up()
    assert (counts["found"], counts["not_found"], counts["left"]) == (1, 0, 2)
    assert said in counts["stopped"]["email"]
    assert len(provider.requests) == 2
    assert sorted(planner.state(key)[0] for key in keys) == ["delivered", "unknown", "unknown"]
    assert "mail.example" not in caplog.text
    assert caplog.text.count(said) == 1


def test_a_missing_key_stops_one_channel_and_not_the_other(lost: Lost, provider: Provider, planner: Planner) -> None:
    mail, sms = lost.message("ada"), lost.message("bob", "sms")
    provider.answer = texts(text(body="CODEBOB"))
    counts = lost.look_up(sendgrid_api_key=None)
    assert (counts["found"], counts["left"]) == (1, 1)
    assert "SENDGRID_API_KEY" in counts["stopped"]["email"]
    assert [planner.state(key)[0] for key in (mail, sms)] == ["unknown", "delivered"]


@pytest.mark.parametrize(
    ("status", "code", "state", "suppression"),
    [
        ("queued", None, ("accepted", None), None),
        ("delivered", None, ("delivered", None), None),
        ("undelivered", 30003, ("bounced", "undelivered: 30003"), None),
        ("undelivered", 30006, ("bounced", "undelivered: 30006"), ("sms", "invalid_number")),
        ("failed", 21610, ("refused", "opted_out"), ("all", "stopped")),
        ("canceled", None, ("refused", "cancelled"), None),
    ],
)
def test_the_one_text_that_can_be_ours_settles_it(
    lost: Lost, provider: Provider, planner: Planner, status: str, code: int | None, state: Any, suppression: Any
) -> None:
    key = lost.message("ada", "sms")
    provider.answer = texts(text(status=status, error_code=code))
    assert lost.look_up() == {"found": 1, "not_found": 0, "left": 0}
    assert planner.state(key) == state
    assert planner.one(key)["provider_id"] == "SM" + "1" * 32
    assert parse_qs(urlsplit(provider.requests[0]["path"]).query)["To"] == [PHONE]
    rows = planner.run("select channel, reason from shop.suppressions")
    assert [tuple(row.values()) for row in rows] == ([suppression] if suppression else [])
    assert planner.coupon("ada")["state"] == ("void" if state[0] == "refused" else "reserved")


NOT_OURS = {
    "nothing": [],
    "of another sender": [text(**{"from": "+31611111111"})],
    "a reply": [text(direction="inbound")],
    "before we tried": [text(MORNING - timedelta(minutes=3))],
    "after we tried": [text(MORNING + timedelta(minutes=3))],
    "with another code": [text(body="Your order has been shipped")],
    "two that fit": [text(), text(sid="SM" + "2" * 32)],
    "known to be another of ours": [text(sid="SM" + "9" * 32)],
}


@pytest.mark.parametrize("found", NOT_OURS.values(), ids=NOT_OURS)
def test_a_text_that_may_be_another_is_no_evidence(
    lost: Lost, provider: Provider, planner: Planner, found: list[Any]
) -> None:
    key = lost.message("ada", "sms")
    lost.message("bob", "sms", state="accepted", reason=None, provider_id="SM" + "9" * 32)
    provider.answer = texts(*found)
    assert lost.look_up() == {"found": 0, "not_found": 1, "left": 0}
    assert planner.state(key) == ("unknown", "timeout")


def test_two_unknown_texts_to_one_number_at_one_time_are_never_told_apart_but_at_two_times_they_are(
    lost: Lost, provider: Provider, planner: Planner
) -> None:
    keys = [lost.message("ada", "sms"), lost.message("bob", "sms")]
    provider.answer = texts(text(), text(body="CODEBOB", sid="SM" + "2" * 32))
    assert lost.look_up() == {"found": 0, "not_found": 2, "left": 0}
    planner.run(
        "update delivery.messages set attempted_at = attempted_at - interval '30 minutes',"
        " settled_at = settled_at - interval '30 minutes' where message_key = :key",
        key=keys[1],
    )
    assert lost.look_up()["found"] == 1
    assert [planner.state(key)[0] for key in keys] == ["delivered", "unknown"]


def test_a_text_of_a_messaging_service_and_one_whose_body_is_hidden_are_told_by_time(
    lost: Lost, provider: Provider, planner: Planner
) -> None:
    key = lost.message("ada", "sms")
    service = "MG" + "a" * 32
    provider.answer = texts(text(**{"from": "+31699999999"}, messaging_service_sid=service, body=""))
    assert lost.look_up(twilio_from=service)["found"] == 1
    assert planner.state(key)[0] == "delivered"


def test_a_message_that_a_restore_made_unknown_is_looked_for_since_it_was_due(
    lost: Lost, provider: Provider, planner: Planner
) -> None:
    at = MORNING + 5 * HOUR
    key = lost.message("ada", "sms", reason="restored", provider=None, attempted_at=at, settled_at=at)
    provider.answer = texts(text(MORNING + HOUR))
    assert lost.look_up(at + HOUR)["found"] == 1
    assert planner.state(key)[0] == "delivered"
    assert planner.one(key)["provider"] == "twilio"


def test_nothing_of_the_outbox_is_asked_for(lost: Lost, provider: Provider) -> None:
    lost.message("ada", provider="outbox")
    assert lost.look_up() == {"found": 0, "not_found": 0, "left": 0}
    assert provider.requests == []


def test_the_command_says_what_was_found_and_why_it_stopped(
    lost: Lost, provider: Provider, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    at = datetime.now(UTC) - 3 * HOUR
    lost.message("ada", attempted_at=at, settled_at=at)
    provider.always(403)
    for name, value in (
        ("RETENTION_DATABASE_URL", lost.settings.database_url),
        ("SENDGRID_API_KEY", "SG.key"),
        ("SENDGRID_HOST", provider.url),
    ):
        monkeypatch.setenv(name, str(value))
    assert cli.main(["unknown", "look-up", "--older-than", "2h", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["found"], report["not_found"], report["left"]) == (0, 0, 1)
    assert "add-on" in report["stopped"]["email"]
