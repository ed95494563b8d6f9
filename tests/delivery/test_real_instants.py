"""A pretended instant and a live provider never meet, and the ledger keeps when a message was really handed over."""

from __future__ import annotations

import itertools
import pickle
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from local_provider import Provider
from planner import DAY, MORNING, TEMPLATES, Planner
from retention import pipeline
from retention.core.clock import Stopped
from retention.core.days import known_at
from retention.core.errors import InputError
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.delivery import worker as delivery
from retention.delivery.worker import deliver, replay
from shop import NAMESPACE, ShopData

NEXT = DAY + timedelta(days=1)
NOON = MORNING + timedelta(hours=3)


def test_nothing_is_sent_for_real_as_if_it_were_another_time(
    live: Settings, engine: Engine, provider: Provider, planner: Planner, shop: ShopData
) -> None:
    key = planner.message(shop.customer("ada"))
    for call in (deliver, pipeline.deliver):
        with pytest.raises(InputError, match=r"'live', so nothing can be delivered as if it were 2026-11-21T09:00"):
            call(Shop(live, engine), at=MORNING)
    assert provider.requests == []
    assert planner.state(key) == ("planned", None)
    assert planner.run("select from delivery.caps") == [], "nothing was begun"


def test_an_instant_that_is_refused_is_refused_before_anything_is_written(
    live: Settings, settings: Settings, engine: Engine, planner: Planner, shop: ShopData
) -> None:
    planner.version("gone", "v1", TEMPLATES)  # without a file: the next delivery pauses it, and says so
    planner.message(shop.customer("ada"), campaign="gone")
    for each, at in ((live, MORNING), (settings, MORNING.replace(tzinfo=None))):
        with pytest.raises(InputError, match=r"as if it were|has no offset"):
            pipeline.deliver(Shop(each, engine), at=at)
        assert planner.run("select * from campaigns.paused") == []
    assert "gone" in pipeline.deliver(Shop(settings, engine), at=MORNING)["paused"]


def test_another_workers_process_refuses_a_pretended_instant_too(
    live: Settings, engine: Engine, provider: Provider, planner: Planner, shop: ShopData
) -> None:
    planner.message(shop.customer("ada"))
    pretended = pickle.loads(pickle.dumps(delivery._Time(wall=Stopped(NOON), at=MORNING)))
    with pytest.raises(InputError, match="as if it were"):
        delivery._work(live, pretended, None)
    assert provider.requests == []


def test_the_ledger_keeps_the_real_instant_beside_the_pretended_one(
    settings: Settings, engine: Engine, planner: Planner, shop: ShopData
) -> None:
    key = planner.message(shop.customer("ada"))
    now = MORNING + timedelta(days=90)
    deliver(Shop(settings, engine, Stopped(now)), at=MORNING)
    row = planner.one(key)
    assert (row["state"], row["attempted_at"], row["called_at"]) == ("accepted", MORNING, now)


def test_a_message_that_was_not_sent_after_all_has_no_real_instant(
    live: Settings, engine: Engine, provider: Provider, planner: Planner, shop: ShopData
) -> None:
    key = planner.message(shop.customer("ada"))
    provider.answer = lambda request: (401, {}, None)
    deliver(Shop(live, engine, Stopped(MORNING)))
    assert planner.state(key) == ("planned", "channel_refused")
    assert planner.one(key)["called_at"] is None


def test_a_day_played_for_real_goes_out_now(
    live: Settings, engine: Engine, provider: Provider, planner: Planner, shop: ShopData
) -> None:
    keys = [planner.message(shop.customer(name)) for name in ("ada", "bob")]
    counts = replay(Shop(live, engine, Stopped(NOON)), DAY, send_for_real=True)
    assert counts["accepted"] == 2
    assert {(planner.one(key)["attempted_at"], planner.one(key)["called_at"]) for key in keys} == {(NOON, NOON)}
    assert replay(Shop(live, engine, Stopped(NOON)), DAY, send_for_real=True) == counts
    assert len(provider.requests) == 1


def test_a_day_played_for_real_sends_nothing_that_has_really_expired(
    live: Settings, engine: Engine, provider: Provider, planner: Planner, shop: ShopData
) -> None:
    key = planner.message(shop.customer("ada"))
    counts = replay(Shop(live, engine, Stopped(MORNING + timedelta(days=4))), DAY, send_for_real=True)
    assert provider.requests == []
    assert planner.state(key) == ("skipped", "too_late")
    assert counts["skipped"] == 1


@pytest.mark.parametrize("since", ["unsubscribed", "withdrew", "ordered", "erased"])
def test_a_day_played_for_real_leaves_alone_those_we_know_by_now_not_to_want_it(
    live: Settings, engine: Engine, provider: Provider, planner: Planner, shop: ShopData, since: str
) -> None:
    key = planner.message(shop.customer("ada"))
    fine = planner.message(shop.customer("bob"))
    known = MORNING + timedelta(hours=2)  # after the instant at which the day would play it
    if since == "withdrew":
        planner.withdraw("ada", "email", known)
    elif since == "ordered":
        shop.order("ada", NEXT, known_at=known)
    else:
        planner.run(
            "insert into shop.suppressions (customer_id, channel, reason, known_at)"
            " values (shop.customer_id(:namespace, 'ada'), 'all', :reason, :known)",
            namespace=NAMESPACE,
            reason=since,
            known=known,
        )
    replay(Shop(live, engine, Stopped(NOON)), DAY, send_for_real=True)
    assert (planner.state(key)[0], planner.state(fine)[0]) == ("skipped", "accepted")
    assert [each["to"][0]["email"] for each in people(provider)] == ["bob@mail.example"]


@pytest.mark.parametrize("now", [MORNING + timedelta(hours=14), MORNING - timedelta(minutes=5)])
def test_a_day_played_for_real_disturbs_nobody_at_night_and_sends_nothing_before_it_is_due(
    live: Settings, engine: Engine, provider: Provider, planner: Planner, shop: ShopData, now: datetime
) -> None:
    key = planner.message(shop.customer("ada"))
    replay(Shop(live, engine, Stopped(now)), DAY, send_for_real=True)
    assert provider.requests == []
    assert planner.state(key) == ("planned", None)


def test_exports_of_a_day_played_for_real_are_of_now(
    live: Settings, engine: Engine, planner: Planner, shop: ShopData
) -> None:
    planner.version("ads", "v1", TEMPLATES, steps=[{"step": "retarget", "until_day": 7}])
    planner.message(shop.customer("ada", consents=("audience",)), step="retarget", channel="audience", campaign="ads")
    ticks = (NOON + timedelta(seconds=number) for number in itertools.count())
    replay(Shop(live, engine, lambda: next(ticks)), DAY, send_for_real=True)
    exported = planner.run("select exported_at from delivery.exports")
    assert len(exported) == 1
    assert NOON < exported[0]["exported_at"] < NOON + timedelta(minutes=5)


def test_what_expires_while_the_orders_are_too_old_is_recorded_and_nothing_is_sent(
    live: Settings, engine: Engine, provider: Provider, planner: Planner, shop: ShopData
) -> None:
    late = planner.message(shop.customer("ada"), grace=0)
    waits = planner.message("ada", step="other", grace=9)
    counts = deliver(Shop(live, engine, Stopped(MORNING + timedelta(days=3)))).counts()
    assert "more than 24 hours" in counts["blocked"]
    assert (counts["skipped"], counts["deferred"]) == (1, 1)
    assert planner.state(late) == ("skipped", "too_late")
    assert planner.state(waits) == ("planned", None)
    assert provider.requests == []


@pytest.mark.parametrize(
    ("deadline", "hours", "is_blocked"), [(6, 30, False), (6, 31, True), (0, 25, True), (12, 36, False)]
)
def test_while_the_next_days_files_may_still_come_nothing_is_held_back(
    settings: Settings, engine: Engine, planner: Planner, shop: ShopData, deadline: int, hours: int, is_blocked: bool
) -> None:
    """Else every night, until the files are there, no American would be written to in daytime."""
    planner.message(shop.customer("ada", time_zone="America/Los_Angeles", country="US"))
    ended = known_at(DAY, shop.zone)
    counts = deliver(Shop(settings.evolve(files_deadline=deadline), engine), at=ended + timedelta(hours=hours)).counts()
    assert ("blocked" in counts) == is_blocked


def people(provider: Provider) -> list[dict[str, Any]]:
    """To whom the provider was asked to send e-mails."""
    return [each for request in provider.requests for each in request["json"]["personalizations"]]


def test_the_day_is_recorded_as_played_once(live: Settings, engine: Engine, planner: Planner, shop: ShopData) -> None:
    planner.message(shop.customer("ada"))
    replay(Shop(live, engine, Stopped(NOON)), DAY, send_for_real=True)
    days = planner.run("select day, state from shop.days where stage = 'delivery'")
    assert days == [{"day": date(2026, 11, 20), "state": "done"}]
