"""On the wall clock no stage does a day that is not over: half a day's orders would look like a day without them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from retention import pipeline
from retention.campaigns import steps
from retention.core import days
from retention.core.errors import InputError, RetentionError
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.delivery.exports import audiences, postal
from retention.demo import generator as demo
from retention.orders import sync
from retention.selections import refresh
from shop import ShopData

DAY = date(2026, 3, 28)  # the clocks of Amsterdam change in the night that ends the day after
Do = Callable[[Settings, Engine, datetime], Any]

STAGES: dict[str, Do] = {
    "sync": lambda settings, engine, now: sync.sync(Shop(settings, engine), "demo_shop", DAY, now=now),
    "catch_up": lambda settings, engine, now: sync.catch_up(Shop(settings, engine), "demo_shop", DAY, now=now),
    "land": lambda settings, engine, now: sync.land(Shop(settings, engine), "demo_shop", DAY, now=now),
    "select": lambda settings, engine, now: refresh.select(Shop(settings, engine), DAY, ["customers"], now=now),
    "refresh": lambda settings, engine, now: refresh.refresh(Shop(settings, engine), "customers", DAY, now=now),
    "campaign": lambda settings, engine, now: steps.run_day(Shop(settings, engine), "winback", DAY, now=now),
    "campaign --test": lambda settings, engine, now: steps.run_day(
        Shop(settings, engine), "winback", DAY, test=True, now=now
    ),
    "enrol": lambda settings, engine, now: steps.enrol(Shop(settings, engine), "winback", DAY, now=now),
    "run": lambda settings, engine, now: pipeline.run_days(
        Shop(settings, engine), DAY, DAY, source="demo_shop", now=now
    ),
    "audiences export": lambda settings, engine, now: audiences.export(Shop(settings, engine), DAY, now),
    "postal export": lambda settings, engine, now: postal.export(Shop(settings, engine), DAY, now),
}


def complaint(do: Callable[[], Any]) -> str:
    """What `do` is refused for; nothing if it is not."""
    try:
        do()
    except RetentionError as problem:
        return str(problem)
    return ""


@pytest.fixture
def ready(shop: ShopData, settings: Settings) -> Settings:
    """A shop whose day is published, with the files of the day."""
    demo.generate(settings.local / "demo_shop", customers=5, days=1, until=DAY, zone=settings.shop_time_zone)
    shop.publish(DAY)
    return settings


@pytest.mark.parametrize("stage", STAGES)
def test_a_day_that_is_not_over_is_refused_and_it_is_said_when_it_is(
    ready: Settings, engine: Engine, stage: str
) -> None:
    over = days.known_at(DAY, ready.shop_time_zone)
    for before in (timedelta(seconds=1), timedelta(hours=24), timedelta(days=400)):
        with pytest.raises(
            InputError, match=r"2026-03-28 is not over: it ends at 2026-03-29 00:00 \(Europe/Amsterdam\)"
        ):
            STAGES[stage](ready, engine, over - before)


@pytest.mark.parametrize("stage", STAGES)
def test_a_day_that_is_over_is_not_refused_for_that(ready: Settings, engine: Engine, stage: str) -> None:
    over = days.known_at(DAY, ready.shop_time_zone)
    assert "not over" not in complaint(lambda: STAGES[stage](ready, engine, over))


def test_a_day_ahead_is_refused_with_the_newest_published_one(ready: Settings, engine: Engine) -> None:
    over = days.known_at(DAY, ready.shop_time_zone)
    for stage in ("select", "campaign"):
        said = complaint(lambda stage=stage: STAGES[stage](ready, engine, over - timedelta(hours=1)))
        assert f"The newest published day is {DAY}" in said, stage


def test_on_the_clock_of_days_history_and_demo_may_play_ahead(ready: Settings, engine: Engine) -> None:
    played = ready.evolve(clock="days")
    before = days.known_at(DAY, ready.shop_time_zone) - timedelta(days=2)
    assert refresh.select(Shop(played, engine), DAY, ["customers"], now=before)["customers"]["size"] == 0


def test_nothing_is_sent_for_real_for_a_day_that_is_not_over(ready: Settings, engine: Engine) -> None:
    played = ready.evolve(clock="days")
    before = days.known_at(DAY, ready.shop_time_zone) - timedelta(days=2)
    with pytest.raises(InputError, match="not over"):
        pipeline.run_days(Shop(played, engine), DAY, DAY, source="demo_shop", send_for_real=True, now=before)


def test_without_an_instant_the_real_clock_decides(settings: Settings, engine: Engine, tmp_path: Path) -> None:
    today = datetime.now(settings.shop_time_zone).date()
    days.require_over(settings, today - timedelta(days=1))
    for day in (today, today + timedelta(days=1), days.LAST):
        with pytest.raises(InputError, match="not over"):
            days.require_over(settings, day)
