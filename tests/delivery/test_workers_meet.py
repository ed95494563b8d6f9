"""Two workers whose transactions overlap."""

from __future__ import annotations

import threading
import time as wall
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event

from local_provider import Answer, Provider
from planner import DAY, MORNING, Planner
from retention.core import database
from retention.core.clock import Stopped
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.delivery.worker import deliver
from shop import ShopData


def test_a_coupon_is_not_taken_back_from_a_message_that_another_worker_is_just_claiming(
    live: Settings, engine: Engine, provider: Provider, planner: Planner, shop: ShopData
) -> None:
    first = planner.message(shop.customer("ada"), offer="comeback")
    second = planner.message("ada", step="nudge", channel="sms", offer="comeback", on=DAY + timedelta(days=2))
    shop.publish(DAY + timedelta(days=1))
    is_claimed = threading.Event()
    slow = database.connect(live)

    def before_commit(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if "update offers.coupons" in statement:
            is_claimed.set()
            wall.sleep(0.5)

    event.listen(slow, "after_cursor_execute", before_commit)
    tomorrow = Stopped(MORNING + timedelta(days=1))
    other = threading.Thread(target=deliver, args=[Shop(live, slow, tomorrow)])

    def refuse_meanwhile(request: dict[str, Any]) -> Answer:
        if "json" not in request:
            return provider.accept(request)
        other.start()
        assert is_claimed.wait(5)
        return 400, {}, {"errors": []}

    provider.answer = refuse_meanwhile
    assert deliver(Shop(live.evolve(provider_timeout=10), engine, Stopped(MORNING))).counts()["refused"] == 1
    other.join()
    assert (planner.state(first)[0], planner.state(second)[0]) == ("refused", "accepted")
    coupon = planner.coupon("ada")
    assert coupon["state"] == "issued", "the code is in a text that was sent"
    assert coupon["expires_at"] == MORNING + timedelta(days=14)


def test_workers_of_one_delivery_share_what_is_due_and_count_together(
    live: Settings, engine: Engine, provider: Provider, planner: Planner, shop: ShopData
) -> None:
    keys = [planner.message(shop.customer(f"c{number}")) for number in range(12)]
    others: set[int] = set()
    both = threading.Barrier(2)

    def answer(request: dict[str, Any]) -> Answer:
        if not others:  # the first request is answered when the other worker has made its own
            others.add(1)
            both.wait(30)
        elif not both.broken and both.n_waiting:
            both.wait(30)
        return provider.accept(request)

    provider.answer = answer
    counts = deliver(Shop(live.evolve(workers=2, batch_size=4, provider_timeout=30), engine, Stopped(MORNING))).counts()
    assert counts["accepted"] == 12
    sent = [each["custom_args"]["message_key"] for one in provider.requests for each in one["json"]["personalizations"]]
    assert sorted(sent) == sorted(keys)


def test_for_less_than_a_batch_no_other_worker_is_started(
    live: Settings, engine: Engine, planner: Planner, shop: ShopData, monkeypatch: pytest.MonkeyPatch
) -> None:
    planner.message(shop.customer("ada"))
    monkeypatch.setattr("retention.delivery.worker.ProcessPoolExecutor", None)
    assert deliver(Shop(live.evolve(workers=8), engine, Stopped(MORNING))).counts()["accepted"] == 1
