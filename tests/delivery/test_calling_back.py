"""E-mails that SendGrid holds for a while, and a halt that calls them back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from local_provider import Answer, Provider
from planner import MORNING, TEMPLATES, Planner
from retention.core.clock import Stopped
from retention.core.errors import InputError
from retention.core.settings import Settings, from_environment
from retention.core.shop import Shop
from retention.delivery.operations import halting, unknown
from retention.delivery.worker import deliver
from retention.events import applying, lookups
from retention.events.receiving import receive
from retention.events.reports import Event
from retention.ledger import halts
from shop import ShopData

DELAY = timedelta(minutes=20)
SOON = MORNING + timedelta(minutes=5)


class Holding:
    """SendGrid: gives batches B1, B2 ..., takes mails, cancels as many batches as it is told."""

    def __init__(self, provider: Provider, cancels: int = 10) -> None:
        self.provider, self.cancels = provider, cancels
        self.batches = 0
        provider.answer = self

    def __call__(self, request: dict[str, Any]) -> Answer:
        if request["path"] == "/v3/mail/batch":
            self.batches += 1
            return 201, {}, {"batch_id": f"B{self.batches}"}
        if request["path"] == "/v3/user/scheduled_sends":
            self.cancels -= 1
            return (201, {}, request["json"]) if self.cancels >= 0 else (400, {}, {"errors": []})
        return self.provider.accept(request)

    def asked(self, path: str) -> list[dict[str, Any]]:
        return [each["json"] for each in self.provider.requests if each["path"] == path]

    @property
    def cancelled(self) -> list[str]:
        return [each["batch_id"] for each in self.asked("/v3/user/scheduled_sends")]


@pytest.fixture
def holding(live: Settings, provider: Provider) -> Holding:
    return Holding(provider)


@pytest.fixture
def slow(live: Settings) -> Settings:
    """Each mail is held for twenty minutes."""
    return live.evolve(email_delay=int(DELAY.total_seconds()))


@pytest.fixture
def held(slow: Settings, engine: Engine, planner: Planner, shop: ShopData, holding: Holding) -> list[str]:
    """Two mails of winback and one of thanks that SendGrid has had since MORNING; their keys."""
    planner.version("thanks", "v1", TEMPLATES)
    keys = [
        planner.message(shop.customer(ref), campaign=campaign)
        for ref, campaign in (("ada", "winback"), ("bob", "winback"), ("carol", "thanks"))
    ]
    assert deliver(Shop(slow, engine, Stopped(MORNING))).counts()["accepted"] == 3
    return keys


def states(planner: Planner, keys: list[str]) -> list[tuple[str, str | None]]:
    return [planner.state(key) for key in keys]


def test_without_the_setting_a_mail_goes_out_at_once(
    live: Settings, engine: Engine, planner: Planner, shop: ShopData, holding: Holding
) -> None:
    planner.message(shop.customer("ada"))
    deliver(Shop(live, engine, Stopped(MORNING)))
    assert not {"batch_id", "send_at"} & holding.asked("/v3/mail/send")[0].keys()
    assert halting.halt(Shop(live, engine), at=SOON) == {"halted": ["all"]}


def test_a_mail_waits_at_sendgrid_in_the_batch_of_its_campaign(held: list[str], holding: Holding) -> None:
    sent = holding.asked("/v3/mail/send")
    assert {each["send_at"] for each in sent} == {int((MORNING + DELAY).timestamp())}
    assert {(each["categories"][0], each["batch_id"]) for each in sent} in (
        {("winback", "B1"), ("thanks", "B2")},
        {("winback", "B2"), ("thanks", "B1")},
    )


def test_a_halt_calls_back_what_is_held_and_says_that_nobody_knows_for_sure(
    slow: Settings, engine: Engine, planner: Planner, held: list[str], holding: Holding
) -> None:
    assert halting.halt(Shop(slow, engine), at=SOON) == {"halted": ["all"], "called_back": 3}
    assert sorted(holding.cancelled) == ["B1", "B2"]
    assert states(planner, held) == [("unknown", "cancelled")] * 3
    assert halting.halt(Shop(slow, engine), at=SOON) == {"halted": ["all"]}
    one = planner.one(held[0])
    event = Event(
        customer_id=one["customer_id"], event_key="1", message_key=held[0], kind="delivered", occurred_at=SOON
    )
    with engine.begin() as connection:
        receive(slow, connection, "sendgrid", [event], SOON)
    applying.apply(Shop(slow, engine), at=SOON)
    assert planner.state(held[0]) == ("delivered", None)
    halts.resume(Shop(slow, engine))
    unknown.settle(Shop(slow, engine), held[1], "again", "Ines", at=SOON)
    assert deliver(Shop(slow, engine, Stopped(SOON + timedelta(minutes=5)))).counts()["accepted"] == 1


def test_a_halt_of_a_campaign_calls_back_that_campaign_and_one_of_texts_nothing(
    slow: Settings, engine: Engine, planner: Planner, held: list[str], holding: Holding
) -> None:
    assert halting.halt(Shop(slow, engine), channel="sms", at=SOON) == {"halted": ["channel:sms"]}
    assert halting.halt(Shop(slow, engine), campaign="winback", at=SOON)["called_back"] == 2
    assert len(holding.cancelled) == 1
    assert [state for state, _ in states(planner, held)] == ["unknown", "unknown", "accepted"]
    assert halting.halt(Shop(slow, engine), channel="email", at=SOON)["called_back"] == 1


def test_what_is_due_is_not_called_back(
    slow: Settings, engine: Engine, planner: Planner, held: list[str], holding: Holding
) -> None:
    assert halting.halt(Shop(slow, engine), at=MORNING + DELAY) == {"halted": ["all"]}
    assert holding.cancelled == []
    assert [state for state, _ in states(planner, held)] == ["accepted"] * 3


def test_where_sendgrid_cancels_no_more_the_halt_holds_and_says_so(
    slow: Settings, engine: Engine, planner: Planner, held: list[str], holding: Holding
) -> None:
    holding.cancels = 1
    report = halting.halt(Shop(slow, engine), at=SOON)
    assert report["halted"] == ["all"]
    assert report["called_back"] in (1, 2)
    assert "1 of 2 batches: SendGrid answered 400" in report["not_called_back"]
    assert sorted(state for state, _ in states(planner, held)).count("unknown") == report["called_back"]
    holding.cancels = 10
    assert halting.halt(Shop(slow, engine), at=SOON)["called_back"] == 3 - report["called_back"]


def test_a_mail_is_held_for_no_longer_than_its_window_is_open(
    slow: Settings, engine: Engine, planner: Planner, shop: ShopData, holding: Holding
) -> None:
    key = planner.message(shop.customer("ada"))
    assert deliver(Shop(slow, engine, Stopped(MORNING.replace(hour=19, minute=45)))).counts()["deferred"] == 1
    assert planner.state(key) == ("planned", "window_closed")
    assert holding.provider.requests == []


@pytest.mark.parametrize(("status", "reason"), [(500, "no_batch"), (429, "rate_limited"), (401, "channel_refused")])
def test_without_a_batch_nothing_is_sent(
    slow: Settings, engine: Engine, planner: Planner, shop: ShopData, provider: Provider, status: int, reason: str
) -> None:
    key = planner.message(shop.customer("ada"))
    provider.always(status)
    assert deliver(Shop(slow, engine, Stopped(MORNING))).counts()["deferred"] == 1
    assert planner.state(key) == ("planned", reason)
    assert [each["path"] for each in provider.requests] == ["/v3/mail/batch"]


def test_what_was_called_back_is_neither_looked_up_nor_sent_again_by_policy(
    slow: Settings, engine: Engine, planner: Planner, held: list[str], holding: Holding
) -> None:
    halting.halt(Shop(slow, engine), at=SOON)
    planner.run('update campaigns.versions set definition = definition || \'{"policy": "resend"}\'')
    later = MORNING + timedelta(hours=25)
    assert lookups.look_up(Shop(slow, engine), at=later) == {"found": 0, "not_found": 0, "left": 0}
    assert unknown.resend(Shop(slow, engine), at=later) == {"planned": 0}
    assert unknown.lost(Shop(slow, engine), at=later)["lost"][0]["reason"] == "cancelled"


@pytest.mark.parametrize("seconds", ["600", "259201"])
def test_a_delay_that_sendgrid_cannot_keep_is_refused(seconds: str) -> None:
    with pytest.raises(InputError, match="RETENTION_EMAIL_DELAY"):
        from_environment({"RETENTION_EMAIL_DELAY": seconds})
