"""A worker that dies between claim and settle: what it may have sent is unknown, and never sent again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time as wall
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from local_provider import Provider
from planner import DAY, MORNING, Planner
from retention.core.clock import Stopped
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.delivery.worker import deliver, replay
from shop import ShopData

WORKER = """
import os, signal, sys
from datetime import date, datetime
from retention.core.clock import Stopped
from retention.core.database import connect
from retention.core.settings import from_environment
from retention.core.shop import Shop
from retention.delivery.channels import outbox
from retention.delivery.worker import deliver, replay

settings = from_environment(os.environ).evolve(batch_size=4)
what, survives = sys.argv[1], int(sys.argv[2])
calls = 0
keep = outbox.Outbox.keep
def die_in_time(self, *arguments):
    global calls
    calls += 1
    if calls > survives:
        os.kill(os.getpid(), signal.SIGKILL)
    keep(self, *arguments)
outbox.Outbox.keep = die_in_time
if what == "play":
    replay(Shop(settings, connect(settings)), date(2026, 11, 20))
else:
    deliver(Shop(settings, connect(settings), Stopped(datetime.fromisoformat(what))))
"""


def start(settings: Settings, what: str, survives: int = 0) -> subprocess.Popen[bytes]:
    """A worker in a process of its own; it kills itself in the transaction that settles batch `survives` + 1."""
    environ = dict(os.environ) | {
        "RETENTION_DATABASE_URL": settings.database_url or "",
        "RETENTION_LOCAL": str(settings.local),
        "RETENTION_DELIVERY": settings.delivery,
        "RETENTION_SECRET": settings.secret,
        "RETENTION_PUBLIC_URL": settings.public_url,
        "SENDGRID_API_KEY": settings.sendgrid_api_key or "",
        "RETENTION_SHOP_URL": settings.shop_url,
        "SENDGRID_HOST": settings.sendgrid_host,
    }
    return subprocess.Popen([sys.executable, "-c", WORKER, what, str(survives)], env=environ)


def patiently(check: Any) -> None:
    """Wait until `check()` holds, at most 20 seconds."""
    for _ in range(200):
        if check():
            return
        wall.sleep(0.1)
    raise AssertionError("it never came true")


@pytest.fixture
def hanging(provider: Provider) -> Iterator[Provider]:
    """A provider that takes the request and never answers."""
    stop: list[bool] = []

    def hang(request: dict[str, Any]) -> Any:
        while not stop:
            wall.sleep(0.1)
        raise ConnectionResetError

    provider.answer = hang
    yield provider
    stop.append(True)


def test_a_killed_workers_messages_are_unknown_and_never_sent_again(
    live: Settings, engine: Engine, hanging: Provider, planner: Planner, shop: ShopData
) -> None:
    keys = [planner.message(shop.customer(f"c{number}")) for number in range(3)]
    worker = start(live.evolve(provider_timeout=60), MORNING.isoformat())
    try:
        patiently(lambda: hanging.requests)
        assert {row["state"] for row in planner.ledger()} == {"attempting"}
        # Alive: another worker keeps its hands off.
        assert deliver(Shop(live, engine, Stopped(MORNING))).counts()["unknown"] == 0
        assert {row["state"] for row in planner.ledger()} == {"attempting"}
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    hanging.answer = hanging.accept

    def buried() -> bool:
        deliver(Shop(live, engine, Stopped(MORNING + timedelta(minutes=15))))
        return planner.state(keys[0])[0] != "attempting"

    patiently(buried)
    assert {planner.state(key) for key in keys} == {("unknown", "worker_died")}
    deliver(Shop(live, engine, Stopped(MORNING + timedelta(hours=2))))
    assert len(hanging.requests) == 1


def same(planner: Planner) -> tuple[Any, Any, Any]:
    """The ledger, coupons and outbox without wall stamps and claims."""
    return (
        planner.ledger(
            "message_key, state, reason, attempts, due_at, retry_at, attempted_at, settled_at, claim is null, provider"
        ),
        planner.run("select code, state, expires_at from offers.coupons order by code"),
        planner.run("select message_key, subject, text_body, stored_at from delivery.outbox order by message_key"),
    )


@pytest.mark.parametrize("survives", [0, 1, 2])
def test_a_day_played_again_after_a_crash_gives_the_same_ledger(
    settings: Settings, engine: Engine, planner: Planner, shop: ShopData, survives: int
) -> None:
    for number in range(6):
        planner.message(shop.customer(f"c{number}"))
        planner.message(
            shop.customer(f"g{number}", time_zone="Europe/Athens"),
            zone="Europe/Athens",
            step="nudge",
            channel="sms",
            offer="final",
        )
    shop.order("c3", DAY + timedelta(days=1), known_at=MORNING)
    before = planner.run("select * from delivery.messages")
    worker = start(settings, "play", survives)
    assert worker.wait() == -signal.SIGKILL
    patiently(
        lambda: (
            not planner.run(
                "select from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
            )
        )
    )
    assert any(row["state"] == "attempting" for row in planner.ledger())
    counts = replay(Shop(settings, engine), DAY)
    crashed = same(planner)
    assert counts == {"accepted": 11, "refused": 0, "unknown": 0, "deferred": 0, "skipped": 1}
    assert replay(Shop(settings, engine), DAY) == counts

    planner.restore(before)
    assert replay(Shop(settings, engine), DAY) == counts
    assert same(planner) == crashed
    assert len(list((settings.local / "outbox" / "2026-11-21").glob("*.*"))) == 11
