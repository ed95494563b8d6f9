"""Clock `days`: the sends of run D play at their instants of D+1."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine

from planner import AMSTERDAM, DAY, MORNING, Planner
from retention.core.errors import DeliveryError, InputError
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.delivery.operations import halting
from retention.delivery.worker import replay
from retention.ledger import halts
from shop import ShopData

NEXT = DAY + timedelta(days=1)


def test_each_message_plays_at_the_start_of_its_own_window(
    settings: Settings, engine: Engine, shop: ShopData, planner: Planner
) -> None:
    zones = ("Asia/Tokyo", "Europe/Athens", "Europe/Amsterdam", "America/New_York")
    keys = {
        zone: planner.message(shop.customer(zone, time_zone=zone, email="a@mail.example"), zone=zone) for zone in zones
    }
    counts = replay(Shop(settings, engine), DAY)
    assert (counts["accepted"], counts["deferred"]) == (4, 0)
    # 9:00 in Tokyo is 1:00 in Amsterdam, after the midnight from which the day is known.
    for zone, key in keys.items():
        assert planner.one(key)["attempted_at"] == datetime.combine(NEXT, time(9), ZoneInfo(zone))


def test_a_window_that_began_before_the_shops_midnight_is_used_from_there(
    settings: Settings, engine: Engine, shop: ShopData, planner: Planner
) -> None:
    auckland = "Pacific/Auckland"  # twelve hours ahead: 9:00 there is 21:00 the day before
    key = planner.message(shop.customer("kea", time_zone=auckland), zone=auckland)
    replay(Shop(settings, engine), DAY)
    assert planner.one(key)["attempted_at"] == datetime.combine(NEXT, time(0), AMSTERDAM)


def test_a_message_left_over_by_a_halt_plays_the_next_day_and_is_late_after_its_grace(
    settings: Settings, engine: Engine, shop: ShopData, planner: Planner
) -> None:
    key = planner.message(shop.customer("ada"))
    late = planner.message(shop.customer("bob"), grace=0)
    halting.halt(Shop(settings, engine))
    assert replay(Shop(settings, engine), DAY)["deferred"] == 2
    halts.resume(Shop(settings, engine))
    shop.publish(NEXT)
    counts = replay(Shop(settings, engine), NEXT)
    assert (counts["accepted"], counts["skipped"], counts["deferred"]) == (1, 1, 0)
    assert planner.one(key)["attempted_at"] == MORNING + timedelta(days=1)
    assert planner.state(late) == ("skipped", "too_late")
    assert planner.one(late)["settled_at"] == datetime.combine(NEXT + timedelta(days=1), time(0), AMSTERDAM)


def test_what_becomes_known_later_does_not_change_a_day_played_late(
    settings: Settings, engine: Engine, shop: ShopData, planner: Planner
) -> None:
    planner.message(shop.customer("ada"))
    planner.message(shop.customer("bob"))
    shop.order("ada", NEXT)  # known from the midnight after it
    shop.publish_each(NEXT, NEXT + timedelta(days=3))
    assert replay(Shop(settings, engine), DAY)["accepted"] == 2


def test_days_play_in_order_each_once(settings: Settings, engine: Engine, shop: ShopData, planner: Planner) -> None:
    replay(Shop(settings, engine), DAY)
    shop.publish_each(NEXT, NEXT + timedelta(days=2))
    planner.message(shop.customer("ada"), on=NEXT + timedelta(days=1))
    assert replay(Shop(settings, engine), NEXT + timedelta(days=2))["accepted"] == 0
    assert replay(Shop(settings, engine), NEXT)["accepted"] == 1
    with pytest.raises(InputError, match="was never published"):
        replay(Shop(settings, engine), DAY - timedelta(days=1))


def test_playing_never_sends_for_real_unless_that_is_meant(live: Settings, engine: Engine) -> None:
    with pytest.raises(DeliveryError, match="send-for-real"):
        replay(Shop(live, engine), DAY)
