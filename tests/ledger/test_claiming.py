"""What is claimed, what is skipped and why, what waits."""

from __future__ import annotations

import threading
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine

from planner import AMSTERDAM, DAY, MORNING, TEMPLATES, Planner
from retention.core import days
from retention.core.clock import Stopped
from retention.core.errors import DeliveryError, InputError
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.delivery.operations import halting
from retention.delivery.worker import deliver
from retention.ledger import halts
from retention.ledger.claims import Ledger
from shop import ShopData

NOTHING = {"accepted": 0, "refused": 0, "unknown": 0, "deferred": 0, "skipped": 0}


@pytest.fixture
def send(settings: Settings, engine: Engine) -> Any:
    """Deliver at an instant."""
    return lambda at=MORNING, **options: deliver(Shop(settings, engine), at=at, **options).counts()


def test_a_due_message_is_accepted_once(shop: ShopData, planner: Planner, send: Any) -> None:
    key = planner.message(shop.customer("ada"))
    assert send(MORNING - timedelta(seconds=1)) == NOTHING
    assert send() == NOTHING | {"accepted": 1}
    assert send() == NOTHING
    row = planner.one(key)
    assert (row["state"], row["attempts"], row["provider"], row["attempted_at"]) == ("accepted", 1, "outbox", MORNING)


@pytest.mark.parametrize(("seconds", "accepted"), [(0, 1), (1, 0)])
def test_orders_are_fresh_for_24_hours_and_the_deadline_of_the_next_files_and_a_second_more_blocks(
    shop: ShopData, planner: Planner, send: Any, seconds: int, accepted: int
) -> None:
    planner.message(shop.customer("ada"), on=DAY + timedelta(days=2), window=(time(0), time(20)))
    at = days.known_at(DAY, AMSTERDAM) + timedelta(hours=24 + 6, seconds=seconds)
    counts = send(at)
    assert (counts["accepted"], counts["deferred"]) == (accepted, 1 - accepted)
    assert ("blocked" in counts) == (accepted == 0)


def test_with_no_day_published_nothing_is_sent(shop: ShopData, planner: Planner, send: Any) -> None:
    planner.message(shop.customer("ada"))
    planner.run("delete from shop.days")
    assert "no day has been published" in send()["blocked"]


def test_a_day_published_later_does_not_count_for_an_earlier_instant(
    shop: ShopData, planner: Planner, send: Any
) -> None:
    planner.message(shop.customer("ada"))
    planner.run("delete from shop.days")
    shop.publish(DAY + timedelta(days=5))
    assert send()["deferred"] == 1


@pytest.mark.parametrize("status", ["complete", "pending", "refunded"])
def test_an_order_between_plan_and_claim_stops_the_message(
    shop: ShopData, planner: Planner, send: Any, status: str
) -> None:
    key = planner.message(shop.customer("ada"))
    shop.order("ada", DAY + timedelta(days=1), status=status, known_at=MORNING - timedelta(minutes=1))
    assert send()["skipped"] == 1
    assert planner.state(key) == ("skipped", "order")


def test_an_order_known_only_later_or_cancelled_does_not_stop_it(shop: ShopData, planner: Planner, send: Any) -> None:
    planner.message(shop.customer("ada"))
    planner.message(shop.customer("bob"))
    shop.order("ada", DAY + timedelta(days=1), known_at=MORNING + timedelta(minutes=1))
    shop.order("bob", DAY + timedelta(days=1), status="cancelled", known_at=MORNING - timedelta(minutes=1))
    assert send()["accepted"] == 2


def test_a_campaign_that_does_not_exit_on_orders_goes_on(shop: ShopData, planner: Planner, send: Any) -> None:
    planner.version("thanks", "v1", TEMPLATES, exit_on=["unsubscribe"])
    planner.message(shop.customer("ada"), campaign="thanks")
    shop.order("ada", DAY + timedelta(days=1), known_at=MORNING - timedelta(minutes=1))
    assert send()["accepted"] == 1


def test_a_code_that_has_ended_goes_out_no_more_and_one_that_ends_in_the_window_until_then(
    shop: ShopData, planner: Planner, engine: Engine, settings: Settings
) -> None:
    for ref, ends_at in (("ended", MORNING), ("ending", MORNING + timedelta(minutes=5))):
        planner.message(shop.customer(ref), step="nudge", channel="sms", offer="comeback")
        planner.run(
            "update offers.coupons set state = 'issued', expires_at = :ends_at where code = :code",
            ends_at=ends_at,
            code=f"CODE{ref}".upper(),
        )
    with engine.connect() as connection:
        ledger = Ledger(settings, connection)
        with ledger.claim_lock() as claim:
            claimed = ledger.claim(claim, MORNING, None, {"sms": "outbox"}, called_at=MORNING)
    assert claimed is not None
    assert [each.send_before for each in claimed.messages] == [MORNING + timedelta(minutes=5)]
    assert sorted(row["reason"] or "" for row in planner.ledger("reason")) == ["", "coupon_expired"]


def test_each_rule_is_checked_again_in_the_claim(shop: ShopData, planner: Planner, send: Any) -> None:
    known = MORNING - timedelta(hours=1)
    keys = {name: planner.message(shop.customer(name)) for name in ("suppressed", "exited", "expired", "arm", "fine")}
    keys["absent"] = planner.message(shop.customer("absent", consents=("sms",)))
    keys["nowhere"] = planner.message(shop.customer("nowhere", email=None))
    keys["garbled"] = planner.message(shop.customer("garbled", email="not an address"))
    keys["phoneless"] = planner.message(shop.customer("phoneless", phone="0612"), step="nudge", channel="sms")
    keys["withdrawn"] = planner.message(shop.customer("withdrawn"))
    keys["void"] = planner.message(shop.customer("void"), step="nudge", channel="sms", offer="comeback")
    planner.suppress("suppressed", known)
    planner.run(
        "update campaigns.enrolments set exited_on = :day, exit_reason = 'unsubscribe'"
        " where customer_id = shop.customer_id('test', 'exited')",
        day=DAY,
    )
    planner.run("update campaigns.enrolments set arm = 'control' where customer_id = shop.customer_id('test', 'arm')")
    planner.run(
        "update delivery.messages set due_at = due_at - interval '3 days', expires_at = :now"
        " where customer_id = shop.customer_id('test', 'expired')",
        now=MORNING,
    )
    planner.run("update offers.coupons set state = 'void'")
    planner.withdraw("withdrawn", "email", known)
    counts = send()
    assert {name: planner.state(key)[1] for name, key in keys.items()} == {
        "suppressed": "suppressed",
        "exited": "unsubscribe",
        "expired": "too_late",
        "arm": "control",
        "fine": None,
        "absent": "no_consent",
        "nowhere": "no_address",
        "garbled": "no_address",
        "phoneless": "no_address",
        "withdrawn": "no_consent",
        "void": "coupon_void",
    }
    assert (counts["accepted"], counts["skipped"]) == (1, len(keys) - 1)


def test_consent_withdrawn_later_counts_only_from_then(shop: ShopData, planner: Planner, send: Any) -> None:
    known = MORNING + timedelta(minutes=1)
    planner.message(shop.customer("ada"))
    planner.withdraw("ada", "email", known)
    assert send()["accepted"] == 1


def test_outside_the_local_window_a_message_waits_and_past_its_grace_it_is_too_late(
    shop: ShopData, planner: Planner, send: Any
) -> None:
    key = planner.message(shop.customer("ada", time_zone="America/New_York"), zone="America/New_York")
    shop.publish_each(DAY, DAY + timedelta(days=3))
    new_york = ZoneInfo("America/New_York")
    evening = datetime(2026, 11, 21, 20, 0, tzinfo=new_york)
    assert send(MORNING) == NOTHING
    assert send(evening) == NOTHING | {"deferred": 1}
    assert send(datetime(2026, 11, 22, 8, 59, 59, tzinfo=new_york))["deferred"] == 1
    assert planner.one(key)["attempts"] == 0
    assert send(datetime(2026, 11, 23, 20, 0, tzinfo=new_york))["skipped"] == 1
    assert planner.state(key) == ("skipped", "too_late")


@pytest.mark.parametrize(
    ("clock", "accepted"), [("08:59", 0), ("09:00", 1), ("19:59", 1), ("20:00", 0)]
)  # on the day after summer time began
def test_the_window_follows_summer_time(shop: ShopData, planner: Planner, send: Any, clock: str, accepted: int) -> None:
    planner.run("delete from shop.days")
    shop.publish(date(2026, 3, 28))
    planner.message(shop.customer("ada"), on=date(2026, 3, 28))
    at = datetime.fromisoformat(f"2026-03-29T{clock}:00+02:00")
    assert send(at)["accepted"] == accepted


def test_an_unknown_zone_is_the_shops(shop: ShopData, planner: Planner, send: Any) -> None:
    planner.message(shop.customer("ada", time_zone=None))
    assert send()["accepted"] == 1


def test_halt_and_resume_of_all_a_campaign_and_a_channel(
    shop: ShopData, planner: Planner, send: Any, settings: Settings, engine: Engine
) -> None:
    planner.message(shop.customer("ada"))
    for which in ({}, {"campaign": "winback"}, {"channel": "email"}):
        name = ":".join(next(iter(which.items()), ("all",)))
        assert (
            halting.halt(Shop(settings, engine), **which)
            == halting.halt(Shop(settings, engine), **which)
            == {"halted": [name]}
        )
        assert send() == NOTHING | {"deferred": 1, "halted": [name]}
        assert (
            halts.resume(Shop(settings, engine), **which)
            == halts.resume(Shop(settings, engine), **which)
            == {"halted": []}
        )
    halting.halt(Shop(settings, engine), channel="sms")
    assert send()["accepted"] == 1
    with pytest.raises(InputError, match="no campaign 'winbak'"):
        halting.halt(Shop(settings, engine), campaign="winbak")
    with pytest.raises(InputError, match="no channel 'fax'"):
        halting.halt(Shop(settings, engine), channel="fax")
    with pytest.raises(InputError, match="not both"):
        halting.halt(Shop(settings, engine), campaign="winback", channel="sms")


def test_two_steps_of_one_enrolment_never_go_out_on_one_local_date(shop: ShopData, planner: Planner, send: Any) -> None:
    auckland = ZoneInfo("Pacific/Auckland")
    ref = shop.customer("ada", time_zone="Pacific/Auckland")
    morning = datetime(2026, 11, 22, 9, tzinfo=auckland)
    shop.publish_each(DAY, DAY + timedelta(days=2))
    first = planner.message(ref, zone="Pacific/Auckland", grace=5)
    second = planner.message(
        ref, step="nudge", channel="sms", offer="comeback", zone="Pacific/Auckland", on=DAY + timedelta(days=2), grace=5
    )
    assert send(morning)["accepted"] == 1
    assert send(morning + timedelta(hours=10))["accepted"] == 0
    assert planner.state(first) == ("accepted", None)
    assert planner.state(second) == ("planned", "same_day")
    assert planner.one(second)["retry_at"] == morning + timedelta(days=1)
    assert send(morning + timedelta(days=1))["accepted"] == 1


def test_one_campaign_can_be_delivered_alone(shop: ShopData, planner: Planner, send: Any) -> None:
    planner.version("other", "v1", TEMPLATES)
    planner.message(shop.customer("ada"))
    planner.message("ada", campaign="other")
    assert send(campaign="other") == NOTHING | {"accepted": 1}
    assert send() == NOTHING | {"accepted": 1}


def test_a_coupons_time_runs_from_the_claim_and_an_unsent_coupon_is_void(
    shop: ShopData, planner: Planner, send: Any
) -> None:
    planner.message(shop.customer("ada"), step="nudge", channel="sms", offer="final")
    planner.message(shop.customer("bob"), step="nudge", channel="sms", offer="final")
    shop.order("bob", DAY + timedelta(days=1), known_at=MORNING)
    send(MORNING + timedelta(minutes=7))
    ada, bob = planner.coupon("ada"), planner.coupon("bob")
    assert (ada["state"], ada["expires_at"]) == ("issued", MORNING + timedelta(hours=24, minutes=7))
    assert (bob["state"], bob["expires_at"]) == ("void", None)
    assert planner.run("select text_body from delivery.outbox")[0]["text_body"].startswith(
        "Ada, 10% with CODEADA until"
    )


def test_batches_go_on_until_nothing_is_due(
    shop: ShopData, planner: Planner, settings: Settings, engine: Engine
) -> None:
    for number in range(7):
        planner.message(shop.customer(f"c{number}"))
    shop.order("c0", DAY + timedelta(days=1), known_at=MORNING)
    counts = deliver(Shop(settings.evolve(batch_size=2), engine), at=MORNING).counts()
    assert counts == NOTHING | {"accepted": 6, "skipped": 1}


def test_two_workers_never_send_one_message_twice(
    shop: ShopData, planner: Planner, settings: Settings, engine: Engine
) -> None:
    for number in range(60):
        planner.message(shop.customer(f"c{number}"))
    counts: list[dict[str, Any]] = []
    small = settings.evolve(batch_size=5)
    workers = [
        threading.Thread(target=lambda: counts.append(deliver(Shop(small, engine), at=MORNING).counts()))
        for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sum(each["accepted"] for each in counts) == 60
    assert {row["attempts"] for row in planner.ledger("attempts")} == {1}
    assert planner.run("select count(*) as n from delivery.outbox")[0]["n"] == 60


def test_live_delivery_on_the_clock_of_days_must_be_meant(live: Settings, engine: Engine) -> None:
    with pytest.raises(DeliveryError, match="send-for-real"):
        deliver(Shop(live.evolve(clock="days"), engine, Stopped(MORNING)))


def test_an_instant_without_an_offset_is_refused(settings: Settings, engine: Engine) -> None:
    with pytest.raises(InputError, match="offset"):
        deliver(Shop(settings, engine), at=datetime(2026, 11, 21, 9))  # noqa: DTZ001
