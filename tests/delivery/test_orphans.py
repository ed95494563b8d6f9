"""Whoever kills the process that started other workers has stopped them too, before their next claim."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time as wall
from datetime import datetime, time, timedelta
from typing import Any

import psutil
import pytest
from sqlalchemy import Engine

from local_provider import Provider
from planner import AMSTERDAM, Planner
from retention.core.settings import Settings
from shop import ShopData

MESSAGES, BATCH = 40, 2


def patiently(check: Any) -> None:
    """Wait until `check()` holds, at most 60 seconds."""
    for _ in range(600):
        if check():
            return
        wall.sleep(0.1)
    raise AssertionError("it never came true")


def workers_of(process: psutil.Process) -> list[psutil.Process]:
    return [each for each in process.children() if "multiprocessing.spawn" in " ".join(each.cmdline())]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_workers_whose_parent_is_killed_finish_what_they_claimed_and_claim_no_more(
    live: Settings, engine: Engine, provider: Provider, planner: Planner, shop: ShopData, how: signal.Signals
) -> None:
    today = datetime.now(AMSTERDAM).date()
    shop.publish(today - timedelta(days=1))
    for number in range(MESSAGES):
        planner.message(shop.customer(f"c{number}"), on=today, window=(time(0), time(23, 59, 59)))
    may_answer = threading.Event()

    def hold(request: dict[str, Any]) -> Any:
        may_answer.wait(60)
        return provider.accept(request)

    provider.answer = hold
    environ = os.environ | {
        "RETENTION_DATABASE_URL": live.database_url or "",
        "RETENTION_LOCAL": str(live.local),
        "RETENTION_DELIVERY": "live",
        "RETENTION_SECRET": live.secret,
        "RETENTION_PUBLIC_URL": live.public_url,
        "RETENTION_SHOP_URL": live.shop_url,
        "SENDGRID_API_KEY": "SG.key",
        "SENDGRID_HOST": provider.url,
        "RETENTION_BATCH_SIZE": str(BATCH),
        "RETENTION_PROVIDER_TIMEOUT": "60",
    }
    parent = subprocess.Popen([sys.executable, "-m", "retention.cli", "deliver", "--workers", "3"], env=environ)
    workers = workers_of(psutil.Process(parent.pid))
    try:
        patiently(lambda: len(provider.requests) == 3)
        workers = workers_of(psutil.Process(parent.pid))
        assert len(workers) == 2
        parent.send_signal(how)
        parent.wait()
        may_answer.set()
        patiently(lambda: not any(each.is_running() and each.status() != "zombie" for each in workers))
        states = planner.run("select state, count(*) as n from delivery.messages group by state order by state")
        assert {row["state"]: row["n"] for row in states} == {
            "accepted": 2 * BATCH,  # what the two workers had under way
            "attempting": BATCH,  # their parent's
            "planned": MESSAGES - 3 * BATCH,
        }
        assert len(provider.requests) == 3
    finally:
        may_answer.set()
        for each in [parent, *workers]:
            if each.poll() is None if isinstance(each, subprocess.Popen) else each.is_running():
                each.kill()
