"""The official clients against a server on this machine: what each answer does to the ledger."""

from __future__ import annotations

import errno
import json
import logging
import threading
import time as wall
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

import hypothesis
import hypothesis.strategies as st
import pytest
from hypothesis import given
from sqlalchemy import Engine

from local_provider import Provider
from planner import AMSTERDAM, MORNING, Planner
from retention.campaigns import definitions
from retention.core.clock import Stopped
from retention.core.errors import DeliveryError
from retention.core.settings import Settings, from_environment
from retention.core.shop import Shop
from retention.delivery.channels import sendgrid_email
from retention.delivery.channels.base import Outgoing
from retention.delivery.rendering.placeholders import Content
from retention.delivery.rendering.render import Rendered, Templates, variables
from retention.delivery.worker import deliver
from retention.ledger import halts
from retention.ledger.claims import DueMessage
from shop import ShopData

NAMES = ["", "Ada", "O'Hara", "<b>", "-", "Γιώργος", "{{ x }}", "a\n b"]


@pytest.fixture
def mail(shop: ShopData, planner: Planner) -> str:
    """One e-mail that is due; its key."""
    return planner.message(shop.customer("ada", first_name="Ada"))


@pytest.fixture
def sms(shop: ShopData, planner: Planner) -> str:
    """One SMS that is due; its key."""
    return planner.message(shop.customer("ada", phone="+31612345678"), step="nudge", channel="sms", offer="comeback")


def test_an_email_goes_to_sendgrid_with_its_key_and_the_way_out(
    live: Settings, engine: Engine, provider: Provider, planner: Planner, mail: str
) -> None:
    assert deliver(Shop(live, engine, Stopped(MORNING))).counts()["accepted"] == 1
    sent = provider.requests[0]["json"]
    person = sent["personalizations"][0]
    row = planner.one(mail)
    assert (row["state"], row["provider"], row["provider_id"]) == ("accepted", "sendgrid", "abc123")
    assert person["custom_args"] == {"message_key": mail, "customer_id": str(row["customer_id"])}
    assert person["to"] == [{"email": "ada@mail.example"}]
    assert person["headers"]["List-Unsubscribe"].startswith("<https://shop.example/u/")
    assert person["headers"]["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert [each["type"] for each in sent["content"]] == ["text/plain", "text/html"]
    assert sent["categories"] == ["winback", "winback/hello"]
    assert provider.requests[0]["headers"]["Authorization"] == "Bearer SG.key"
    assert sent["tracking_settings"] == {
        "subscription_tracking": {"enable": False},
        "click_tracking": {"enable": False},
    }


def test_one_request_carries_many_people_each_with_their_own_words(
    live: Settings, engine: Engine, provider: Provider, planner: Planner, shop: ShopData
) -> None:
    names = {f"c{number}": f"Name{number}" for number in range(12)}
    for ref, name in names.items():
        planner.message(shop.customer(ref, first_name=name))
    planner.message(shop.customer("pl", first_name="Łucja", language="pl"))
    assert deliver(Shop(live, engine, Stopped(MORNING))).counts()["accepted"] == 13
    assert sorted(len(each["json"]["personalizations"]) for each in provider.requests) == [1, 12]
    for request in (each["json"] for each in provider.requests):
        for person in request["personalizations"]:
            ref = person["to"][0]["email"].split("@")[0]
            expected = f"Dear {names[ref]}" if ref in names else "Zażółć gęślą jaźń, Łucja"
            assert all(expected in body for body in bodies(request, person))
            assert filled(request["subject"], person).endswith(names.get(ref, "Łucja"))


def test_two_customers_of_one_address_never_share_a_request(
    live: Settings, engine: Engine, provider: Provider, planner: Planner, shop: ShopData
) -> None:
    for number in range(3):
        planner.message(shop.customer(f"c{number}", email=("Home" if number else "home") + "@mail.example"))
    planner.message(shop.customer("c3"))
    assert deliver(Shop(live, engine, Stopped(MORNING))).counts()["accepted"] == 4
    assert sorted(len(each["json"]["personalizations"]) for each in provider.requests) == [1, 1, 2]


def bodies(request: dict[str, Any], person: dict[str, Any]) -> list[str]:
    """What this person reads: SendGrid puts their words for the tags."""
    return [filled(each["value"], person) for each in request["content"]]


def filled(text: str, person: dict[str, Any]) -> str:
    for tag, words in person.get("substitutions", {}).items():
        text = text.replace(tag, words)
    return text


@given(
    texts=st.lists(st.text(alphabet="ab-\n{%ż", max_size=12), min_size=1, max_size=8),
    size=st.integers(min_value=1, max_value=5),
    long=st.booleans(),
)
def test_whoever_shares_a_request_reads_exactly_what_was_rendered_for_them(
    texts: list[str], size: int, long: bool
) -> None:
    filler = "x" * 11_000 if long else ""
    messages = [
        Outgoing(
            customer_id=number,
            message_key=str(number),
            campaign="c",
            version="v",
            step="s",
            channel="email",
            recipient=f"c{number}@mail.example",
            send_before=MORNING,
            rendered=Rendered(Content(language="en", subject=text[:2], text=text + filler, html=text[::-1])),
        )
        for number, text in enumerate(texts)
    ]
    groups = list(sendgrid_email._groups(messages, size))
    assert sorted(each.customer_id for group in groups for each in group) == list(range(len(texts)))
    for group in groups:
        assert len(group) <= size
        asked = sendgrid_email.request(from_environment({}), group)
        for message, person in zip(group, asked["personalizations"], strict=True):
            assert filled(asked["subject"], person) == message.subject
            assert bodies(asked, person) == [message.text, message.html]
            words = person.get("substitutions", {}).items()
            assert sum(len(tag) + len(line.encode()) for tag, line in words) <= sendgrid_email.SUBSTITUTION_BYTES


@cache
def winback_twice() -> tuple[Templates, Templates]:
    """The templates of `winback`: as they are, and made to render for each person alone."""
    templates = definitions.read(from_environment({}).include, "winback").templates
    together, alone = Templates(templates), Templates(templates)
    assert together._open
    alone._open = frozenset()
    return together, alone


@hypothesis.settings(deadline=None)
@given(
    names=st.lists(st.one_of(st.text(max_size=12), st.sampled_from(NAMES)), min_size=1, max_size=12),
    size=st.integers(min_value=1, max_value=40),
)
def test_what_sendgrid_puts_together_is_what_would_have_been_rendered_for_each_alone(
    names: list[str], size: int
) -> None:
    settings = from_environment({})
    together, alone = winback_twice()
    expected, messages = {}, []
    for number, name in enumerate(names):
        row = {
            "customer_id": number,
            "message_key": f"{number:032x}",
            "channel": "email",
            "campaign": "winback",
            "step": "final_offer",
            "first_name": name.replace("\0", ""),
            "last_order_on": MORNING.date(),
            "offer_percent": Decimal(20),
            "coupon_code": f"CODE{number}",
            "coupon_expires_at": MORNING + timedelta(minutes=number),
            "send_before": MORNING,
        }
        values = variables(settings, DueMessage(**row))
        own = alone.render("final_offer", "email", "nl", values, AMSTERDAM)
        expected[str(number)] = [own.subject, own.text, own.html]
        messages.append(
            Outgoing(
                customer_id=number,
                message_key=row["message_key"],
                campaign="winback",
                version="v",
                step="final_offer",
                channel="email",
                recipient=f"c{number}@mail.example",
                send_before=MORNING,
                rendered=together.render("final_offer", "email", "nl", values, AMSTERDAM),
            )
        )
    for group in sendgrid_email._groups(messages, size):
        asked = json.loads(json.dumps(sendgrid_email.request(settings, group)))
        for person in asked["personalizations"]:
            read = [filled(asked["subject"], person), *bodies(asked, person)]
            assert read == expected.pop(person["custom_args"]["customer_id"])
    assert not expected


def test_an_sms_goes_to_twilio_with_its_key_in_the_callback_and_ends_inside_the_window(
    live: Settings, engine: Engine, provider: Provider, planner: Planner, sms: str
) -> None:
    late = MORNING.replace(hour=19, minute=50)
    assert deliver(Shop(live, engine, Stopped(late))).counts()["accepted"] == 1
    form = provider.requests[0]["form"]
    assert (form["To"], form["From"], form["ValidityPeriod"]) == ("+31612345678", "+31600000000", "600")
    callback = urlsplit(form["StatusCallback"])
    assert callback.fragment == "rc=5&rp=all"
    query = parse_qs(callback.query)
    assert query == {"message_key": [sms], "customer_id": [str(planner.one(sms)["customer_id"])]}
    assert planner.one(sms)["provider_id"] == "SM" + "0" * 32


def test_an_sms_that_its_window_leaves_no_time_for_waits_for_the_next_day(
    live: Settings, engine: Engine, provider: Provider, planner: Planner, sms: str
) -> None:
    counts = deliver(Shop(live, engine, Stopped(MORNING.replace(hour=19, minute=59, second=55)))).counts()
    assert (counts["deferred"], provider.requests) == (1, [])
    assert planner.state(sms) == ("planned", "window_closed")
    assert planner.coupon("ada")["state"] == "reserved"


def test_a_messaging_service_may_be_the_sender(live: Settings, engine: Engine, provider: Provider, sms: str) -> None:
    deliver(Shop(live.evolve(twilio_from="MG" + "a" * 32), engine, Stopped(MORNING)))
    assert provider.requests[0]["form"]["MessagingServiceSid"] == "MG" + "a" * 32


@pytest.mark.parametrize(
    ("status", "code", "state", "reason"),
    [
        (400, None, "refused", "provider_refused: 400"),
        (413, None, "refused", "provider_refused: 413"),
        (500, None, "unknown", "provider_error: 500"),
        (503, None, "unknown", "provider_error: 503"),
        (200, None, "unknown", "provider_error: 200"),
    ],
)
def test_what_sendgrids_answers_do(
    live: Settings,
    engine: Engine,
    provider: Provider,
    planner: Planner,
    mail: str,
    status: int,
    code: None,
    state: str,
    reason: str,
) -> None:
    provider.always(status)
    assert deliver(Shop(live, engine, Stopped(MORNING))).counts()[state] == 1
    assert planner.state(mail) == (state, reason)
    deliver(Shop(live, engine, Stopped(MORNING + timedelta(hours=1))))
    assert len(provider.requests) == 1


@pytest.mark.parametrize(
    ("status", "code", "state", "reason"),
    [
        (400, 21610, "refused", "opted_out"),
        (400, 21211, "refused", "invalid_number"),
        (400, 21614, "refused", "invalid_number"),
        (400, 21635, "refused", "invalid_number"),
        (400, 21408, "refused", "provider_refused: 21408"),
        (429, 20429, "planned", "rate_limited"),
        (400, 21611, "planned", "queue_full"),
        (500, 20500, "unknown", "provider_error: 20500"),
        (503, None, "unknown", "provider_error: 503"),
    ],
)
def test_what_twilios_answers_do(
    live: Settings,
    engine: Engine,
    provider: Provider,
    planner: Planner,
    sms: str,
    status: int,
    code: int | None,
    state: str,
    reason: str,
) -> None:
    provider.always(status, body={"code": code, "message": "To +31612345678", "status": status} if code else {})
    counts = deliver(Shop(live, engine, Stopped(MORNING))).counts()
    assert counts["deferred" if state == "planned" else state] == 1
    assert planner.state(sms) == (state, reason)
    assert planner.coupon("ada")["state"] == {"refused": "void", "planned": "reserved", "unknown": "issued"}[state]
    if state != "planned":
        deliver(Shop(live, engine, Stopped(MORNING + timedelta(hours=1))))
        assert len(provider.requests) == 1


def test_too_many_requests_waits_as_long_as_sendgrid_asks(
    live: Settings, engine: Engine, provider: Provider, planner: Planner, mail: str
) -> None:
    provider.always(429, {"X-RateLimit-Reset": str(int(wall.time()) + 120)})
    assert deliver(Shop(live, engine, Stopped(MORNING))).counts()["deferred"] == 1
    row = planner.one(mail)
    assert (row["state"], row["reason"], row["attempts"]) == ("planned", "rate_limited", 1)
    assert timedelta(seconds=100) < row["retry_at"] - MORNING < timedelta(seconds=130)
    provider.answer = provider.accept
    assert deliver(Shop(live, engine, Stopped(MORNING + timedelta(seconds=60)))).counts()["deferred"] == 1
    assert deliver(Shop(live, engine, Stopped(MORNING + timedelta(seconds=130)))).counts()["accepted"] == 1
    assert (planner.one(mail)["attempts"], planner.one(mail)["reason"]) == (2, None)


@pytest.mark.parametrize(("channel", "status"), [("email", 401), ("email", 403), ("sms", 401), ("sms", 403)])
def test_a_refusal_of_us_halts_the_channel_and_burns_nothing(
    live: Settings, engine: Engine, provider: Provider, planner: Planner, shop: ShopData, channel: str, status: int
) -> None:
    step, offer = ("hello", None) if channel == "email" else ("nudge", "comeback")
    key = planner.message(shop.customer("ada"), step=step, channel=channel, offer=offer)
    before = planner.one(key)
    provider.always(status)
    counts = deliver(Shop(live, engine, Stopped(MORNING))).counts()
    assert (counts["deferred"], counts["halted"]) == (1, [f"channel:{channel}"])
    assert planner.one(key) == before | {"reason": "channel_refused"}
    assert deliver(Shop(live, engine, Stopped(MORNING))).counts()["deferred"] == 1
    assert len(provider.requests) == 1
    provider.answer = provider.accept
    halts.resume(Shop(live, engine), channel=channel)
    assert deliver(Shop(live, engine, Stopped(MORNING))).counts()["accepted"] == 1


def test_what_was_accepted_before_the_key_was_withdrawn_stays_accepted(
    live: Settings, engine: Engine, provider: Provider, planner: Planner, shop: ShopData
) -> None:
    texts(planner, shop, 3)
    provider.answer = lambda request: provider.accept(request) if len(provider.requests) == 1 else (401, {}, {})
    counts = deliver(Shop(live.evolve(sms_at_once=1), engine, Stopped(MORNING))).counts()
    assert (counts["accepted"], counts["deferred"], len(provider.requests)) == (1, 2, 2)


def texts(planner: Planner, shop: ShopData, number: int) -> list[str]:
    """So many texts that are due; their keys."""
    return [
        planner.message(
            shop.customer(f"c{each}", phone=f"+3161234{each:04d}"), step="nudge", channel="sms", offer="comeback"
        )
        for each in range(number)
    ]


class AtOnce:
    """Answers when `together` calls are under way, by their order; those that end a batch answer first."""

    def __init__(self, provider: Provider, together: int, *answers: tuple[int, int]) -> None:
        self.barrier = threading.Barrier(together)
        self.answers = answers
        self.provider = provider
        self.lock = threading.Lock()
        self.under_way = self.most = self.calls = 0
        provider.answer = self

    def __call__(self, request: dict[str, Any]) -> Any:
        with self.lock:
            number, self.calls = self.calls, self.calls + 1
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        self.barrier.wait(5)
        status, code = self.answers[number] if number < len(self.answers) else (201, 0)
        if status not in (401, 429):
            wall.sleep(0.3)
        with self.lock:
            self.under_way -= 1
        return (status, {}, {"code": code, "status": status}) if code else self.provider.accept(request)


def test_texts_go_out_side_by_side_as_many_as_the_setting_says(
    live: Settings, engine: Engine, provider: Provider, planner: Planner, shop: ShopData
) -> None:
    keys = texts(planner, shop, 12)
    at_once = AtOnce(provider, 4)
    assert deliver(Shop(live.evolve(sms_at_once=4), engine, Stopped(MORNING))).counts()["accepted"] == 12
    assert at_once.most == 4
    called = [parse_qs(urlsplit(each["form"]["StatusCallback"]).query)["message_key"][0] for each in provider.requests]
    assert sorted(called) == sorted(keys)


@pytest.mark.parametrize(
    ("status", "code", "reason", "attempts"), [(429, 20429, "rate_limited", 1), (401, 20003, "channel_refused", 0)]
)
def test_after_an_answer_that_ends_a_batch_no_call_is_begun_and_those_under_way_settle_by_their_own(
    live: Settings,
    engine: Engine,
    provider: Provider,
    planner: Planner,
    shop: ShopData,
    status: int,
    code: int,
    reason: str,
    attempts: int,
) -> None:
    texts(planner, shop, 12)
    AtOnce(provider, 4, (status, code), (status, code), (400, 21211))
    counts = deliver(Shop(live.evolve(sms_at_once=4), engine, Stopped(MORNING))).counts()
    assert len(provider.requests) == 4
    assert (counts["accepted"], counts["refused"], counts["deferred"]) == (1, 1, 10)
    rest = [row for row in planner.ledger() if row["state"] == "planned"]
    assert {(row["reason"], row["attempts"]) for row in rest} == {(reason, attempts)}
    assert counts.get("halted") == (["channel:sms"] if status == 401 else None)


@pytest.mark.parametrize(("status", "reason"), [(202, None), (429, "rate_limited"), (401, "channel_refused")])
def test_requests_of_mails_are_under_way_together_and_each_settles_by_its_own_answer(
    live: Settings,
    engine: Engine,
    provider: Provider,
    planner: Planner,
    shop: ShopData,
    status: int,
    reason: str | None,
) -> None:
    for number in range(9):
        planner.message(shop.customer(f"c{number}"))
    at_once = AtOnce(provider, 3, *([(status, 1)] if reason else []))
    counts = deliver(
        Shop(live.evolve(email_requests_at_once=3, emails_per_request=1), engine, Stopped(MORNING))
    ).counts()
    assert at_once.most == 3
    if reason is None:
        assert (counts["accepted"], len(provider.requests)) == (9, 9)
        return
    assert (counts["accepted"], counts["deferred"], len(provider.requests)) == (2, 7, 3)
    assert {row["reason"] for row in planner.ledger() if row["state"] == "planned"} == {reason}


def test_a_request_that_was_begun_is_never_taken_for_one_without_a_connection(
    live: Settings, engine: Engine, provider: Provider, planner: Planner, mail: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: Any, **__: Any) -> None:
        raise OSError(errno.EHOSTUNREACH, "the network went away while the body was being written")

    monkeypatch.setattr("http.client.HTTPConnection._send_output", unreachable)
    assert deliver(Shop(live, engine, Stopped(MORNING))).counts()["unknown"] == 1
    assert planner.state(mail) == ("unknown", "connection_lost")


@pytest.mark.parametrize(
    ("code", "suppression"), [(21610, ("all", "stopped")), (21614, ("sms", "invalid_number")), (21408, None)]
)
def test_a_refusal_of_a_number_says_whom_nobody_may_write_to_any_more(
    live: Settings,
    engine: Engine,
    provider: Provider,
    planner: Planner,
    shop: ShopData,
    sms: str,
    code: int,
    suppression: tuple[str, str] | None,
) -> None:
    mail = planner.message("ada")
    provider.answer = lambda request: (
        (400, {}, {"code": code, "status": 400, "message": "no"}) if "form" in request else (429, {}, {})
    )
    assert deliver(Shop(live, engine, Stopped(MORNING))).counts()["refused"] == 1
    rows = planner.run("select channel, reason, known_at, lifted_at from shop.suppressions")
    assert [tuple(row.values()) for row in rows] == ([(*suppression, MORNING, None)] if suppression else [])
    touched = planner.run("select customer_id, day from shop.changes where day = :day", day=MORNING.date())
    assert [row["customer_id"] for row in touched] == ([planner.one(sms)["customer_id"]] if suppression else [])
    provider.answer = provider.accept
    deliver(Shop(live, engine, Stopped(MORNING + timedelta(hours=7))))
    assert planner.state(mail)[0] == ("skipped" if code == 21610 else "accepted")


@pytest.mark.parametrize(
    ("sender", "takes_stop"), [("+31600000000", True), ("31555", True), ("MG" + "a" * 32, True), ("Demo Shop", False)]
)
def test_a_text_says_stop_where_the_sender_takes_it_and_gives_a_link_where_it_is_a_name(
    live: Settings,
    engine: Engine,
    provider: Provider,
    planner: Planner,
    shop: ShopData,
    sender: str,
    takes_stop: bool,
) -> None:
    shared = {name: (live.include / "messages" / name).read_text() for name in ("opt_out.txt.j2", "words.j2")}
    text = "{% block text %}Hi. {% include 'opt_out.txt.j2' %}{% endblock %}"
    planner.version("winback", "out", {"nudge.en.j2": text, "nudge.nl.j2": text, **shared})
    planner.message(shop.customer("ada", language="nl"), step="nudge", channel="sms", version="out")
    deliver(Shop(live.evolve(twilio_from=sender), engine, Stopped(MORNING)))
    body = provider.requests[0]["form"]["Body"]
    if takes_stop:
        assert body == "Hi. Afmelden? Antwoord STOP."
    else:
        assert body.startswith("Hi. Afmelden: https://shop.example/u/")


@pytest.mark.parametrize("delivery", ["live", "outbox"])
def test_a_text_that_is_too_long_is_refused_and_costs_nothing(
    live: Settings,
    engine: Engine,
    provider: Provider,
    planner: Planner,
    shop: ShopData,
    delivery: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    version = {"nudge.en.j2": "{% block text %}{{ first_name }}" + "ł" * 130 + "{% endblock %}"}
    planner.version("winback", "long", version)
    short = planner.message(shop.customer("ada", first_name="Ada"), step="nudge", channel="sms", version="long")
    long = planner.message(
        shop.customer("bob", first_name="Maria-Josephina"), step="nudge", channel="sms", version="long"
    )
    counts = deliver(Shop(live.evolve(delivery=delivery, sms_segments=2), engine, Stopped(MORNING))).counts()
    assert (counts["accepted"], counts["refused"]) == (1, 1)
    assert planner.state(long) == ("refused", "too_long: 3 segments")
    assert "1 messages refused: nudge has 3 segments, more than 2" in caplog.text
    assert (planner.one(short)["segments"], planner.one(long)["segments"]) == (2, None)
    assert len(provider.requests) == (1 if delivery == "live" else 0)


def test_the_segments_of_what_was_sent_or_may_have_been_are_kept(
    live: Settings, engine: Engine, provider: Provider, planner: Planner, shop: ShopData, sms: str
) -> None:
    mail = planner.message(shop.customer("bob"))
    provider.answer = lambda request: (429, {}, {"code": 20429}) if "form" in request else provider.accept(request)
    deliver(Shop(live, engine, Stopped(MORNING)))
    assert (planner.one(mail)["segments"], planner.one(sms)["segments"]) == (None, None)
    provider.always(500)
    deliver(Shop(live, engine, Stopped(MORNING + timedelta(minutes=10))))
    assert (planner.one(sms)["state"], planner.one(sms)["segments"]) == ("unknown", 1)


def test_a_refused_batch_is_halved_until_the_one_bad_message_is_found(
    live: Settings, engine: Engine, provider: Provider, planner: Planner, shop: ShopData
) -> None:
    for number in range(20):
        planner.message(shop.customer(f"c{number}"))
    provider.answer = lambda request: (
        (400, {}, {"errors": []}) if '"c7@mail.example"' in request["body"] else provider.accept(request)
    )
    counts = deliver(Shop(live, engine, Stopped(MORNING))).counts()
    assert (counts["accepted"], counts["refused"]) == (19, 1)
    sent = [
        person["to"][0]["email"]
        for request in provider.requests
        if '"c7@mail.example"' not in request["body"]
        for person in request["json"]["personalizations"]
    ]
    assert len(sent) == len(set(sent)) == 19


@pytest.mark.parametrize("channel", ["email", "sms"])
def test_no_answer_in_time_is_unknown_and_never_sent_again(
    live: Settings, engine: Engine, provider: Provider, planner: Planner, shop: ShopData, channel: str
) -> None:
    step, offer = ("hello", None) if channel == "email" else ("nudge", "comeback")
    key = planner.message(shop.customer("ada"), step=step, channel=channel, offer=offer)

    def too_late(request: dict[str, Any]) -> Any:
        wall.sleep(1)
        return provider.accept(request)

    provider.answer = too_late
    assert deliver(Shop(live.evolve(provider_timeout=0.3), engine, Stopped(MORNING))).counts()["unknown"] == 1
    assert planner.state(key) == ("unknown", "timeout")
    deliver(Shop(live, engine, Stopped(MORNING + timedelta(hours=1))))
    assert len(provider.requests) == 1


@pytest.mark.parametrize("channel", ["email", "sms"])
def test_a_connection_that_breaks_after_the_request_is_unknown(
    live: Settings, engine: Engine, provider: Provider, planner: Planner, shop: ShopData, channel: str
) -> None:
    step, offer = ("hello", None) if channel == "email" else ("nudge", "comeback")
    key = planner.message(shop.customer("ada"), step=step, channel=channel, offer=offer)

    def hang_up(request: dict[str, Any]) -> Any:
        raise ConnectionResetError("on purpose")

    provider.answer = hang_up
    assert deliver(Shop(live, engine, Stopped(MORNING))).counts()["unknown"] == 1
    assert planner.state(key) == ("unknown", "connection_lost")


@pytest.mark.parametrize("channel", ["email", "sms"])
@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "http://nowhere.invalid"])
def test_a_connection_that_never_came_about_is_tried_again(
    live: Settings, engine: Engine, provider: Provider, planner: Planner, shop: ShopData, channel: str, address: str
) -> None:
    step, offer = ("hello", None) if channel == "email" else ("nudge", "comeback")
    for number in range(2):
        planner.message(shop.customer(f"c{number}"), step=step, channel=channel, offer=offer)
    away = live.evolve(sendgrid_host=address, twilio_base_url=address)
    assert deliver(Shop(away, engine, Stopped(MORNING))).counts()["deferred"] == 2
    assert {(row["state"], row["reason"], row["attempts"]) for row in planner.ledger()} == {
        ("planned", "not_connected", 1)
    }
    assert deliver(Shop(live, engine, Stopped(MORNING + timedelta(minutes=5)))).counts()["accepted"] == 2


def test_no_address_is_logged_whatever_goes_wrong(
    live: Settings,
    engine: Engine,
    provider: Provider,
    planner: Planner,
    shop: ShopData,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    for number, status in enumerate((202, 400, 429, 500, 401)):
        planner.message(shop.customer(f"c{number}", phone="+31612345678"))
        planner.message(f"c{number}", step="nudge", channel="sms", offer="comeback")
        provider.always(status, body={"code": 1, "message": "+31612345678 and c1@mail.example are bad"})
        deliver(Shop(live, engine, Stopped(MORNING + timedelta(minutes=number))))
    assert "halted" in caplog.text
    assert "mail.example" not in caplog.text
    assert "31612345678" not in caplog.text


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        ({"sendgrid_api_key": None}, "SENDGRID_API_KEY"),
        ({"public_url": "http://127.0.0.1:8088"}, "RETENTION_PUBLIC_URL"),
        ({"shop_url": "http://shop.example"}, "RETENTION_SHOP_URL"),
        ({"shop_url": "https://demo-shop.example"}, "RETENTION_SHOP_URL"),
    ],
)
def test_live_email_without_its_settings_is_refused_before_anything_is_claimed(
    live: Settings, engine: Engine, planner: Planner, mail: str, missing: dict[str, Any], sentence: str
) -> None:
    before = planner.one(mail)
    with pytest.raises(DeliveryError, match=sentence):
        deliver(Shop(live.evolve(**missing), engine, Stopped(MORNING)))
    assert planner.one(mail) == before


def test_live_sms_without_its_settings_is_refused(live: Settings, engine: Engine, sms: str) -> None:
    with pytest.raises(DeliveryError, match="TWILIO_AUTH_TOKEN and TWILIO_FROM"):
        deliver(Shop(live.evolve(twilio_auth_token=None, twilio_from=None), engine, Stopped(MORNING)))


def test_a_shop_without_sms_needs_no_twilio(live: Settings, engine: Engine, mail: str) -> None:
    counts = deliver(
        Shop(live.evolve(twilio_account_sid=None), engine, Stopped(datetime(2026, 11, 21, 10, tzinfo=AMSTERDAM)))
    ).counts()
    assert counts["accepted"] == 1
