"""Two workers whose transactions overlap."""

from __future__ import annotations

import threading
import time as wall
from datetime import timedelta
from typing import Any

from local_provider import Answer, Provider
from planner import DAY, MORNING, Planner
from sqlalchemy import Engine, event

from retention import database
from retention.delivery.deliver import deliver
from retention.settings import Settings
from shop import Shop


def test_a_coupon_is_not_taken_back_from_a_message_that_another_worker_is_just_claiming(
    live: Settings, engine: Engine, provider: Provider, planner: Planner, shop: Shop
) -> None:
    first = planner.message(shop.customer("ada"), offer="comeback")
    second = planner.message("ada", step="nudge", channel="sms", offer="comeback", on=DAY + timedelta(days=2))
    shop.publish(DAY + timedelta(days=1))
    is_claimed = threading.Event()
    slow = database.connect(live)

    def before_commit(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if "update campaigns.coupons" in statement:
            is_claimed.set()
            wall.sleep(0.5)

    event.listen(slow, "after_cursor_execute", before_commit)
    other = threading.Thread(target=deliver, args=(live, slow, MORNING + timedelta(days=1)))

    def refuse_meanwhile(request: dict[str, Any]) -> Answer:
        if "json" not in request:
            return provider.accept(request)
        other.start()
        assert is_claimed.wait(5)
        return 400, {}, {"errors": []}

    provider.answer = refuse_meanwhile
    assert deliver(live.evolve(provider_timeout=10), engine, at=MORNING)["refused"] == 1
    other.join()
    assert (planner.state(first)[0], planner.state(second)[0]) == ("refused", "accepted")
    coupon = planner.coupon("ada")
    assert coupon["state"] == "issued", "the code is in a text that was sent"
    assert coupon["expires_at"] == MORNING + timedelta(days=14)
