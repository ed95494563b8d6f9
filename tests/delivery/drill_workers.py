"""Processes of the drill that deliver, and those that report what was delivered; some die at a moment of their own."""

from __future__ import annotations

import logging
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from multiprocessing.process import BaseProcess
from typing import Any

from checking_provider import Remote
from sqlalchemy import Engine, event

from retention.core.clock import Stopped
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.delivery.channels import sendgrid_email, twilio_sms
from retention.delivery.worker import deliver
from retention.events.applying import apply
from retention.events.receiving import receive
from retention.events.reports import Event

Approve = Callable[[Shop, str, str, datetime], Any]
FORK = multiprocessing.get_context("fork")
MAIL_ENDS = (("processed", "delivered"), ("delivered", "click"), ("processed", "bounce"), ("delivered", "unsubscribe"))
SMS_ENDS = (("sent", "delivered"), ("queued", "sent", "undelivered"))


def started(task: Callable[..., None], engine: Engine, dies_at: int | None, *arguments: Any) -> BaseProcess:
    """A process that does `task`, and is killed at moment `dies_at` of it."""
    process: BaseProcess = FORK.Process(target=_do, args=(task, engine, dies_at, arguments))
    process.start()
    return process


def _do(task: Callable[..., None], engine: Engine, dies_at: int | None, arguments: Sequence[Any]) -> None:
    if dies_at is not None:
        _die_at(engine, dies_at)
    task(engine, *arguments)
    os._exit(0)


def delivering(engine: Engine, settings: Settings, instants: Sequence[datetime]) -> None:
    """A worker: deliver at each instant; what fails is tried again, as a task would be."""
    for at in instants:
        try:
            deliver(Shop(settings, engine, Stopped(at)))
        except Exception:  # a lost session, a deadlock: the next try is another delivery
            logging.getLogger("drill").debug("a delivery failed", exc_info=True)


def approving(engine: Engine, settings: Settings, approve: Approve, what: str, at: datetime) -> None:
    """Somebody approves a send by hand or an enrolment, and once more for want of an answer."""
    for _ in range(2):
        try:
            approve(Shop(settings, engine, Stopped(at)), what, "drill", at)
        except Exception:  # a lost session: approving again is harmless
            logging.getLogger("drill").debug("an approval failed", exc_info=True)


def reporting(
    engine: Engine, settings: Settings, provider: Remote, seed: int, ids: dict[str, int], at: datetime
) -> None:
    """Webhooks while workers run: as soon as the provider has a message, often before the worker has its answer."""
    for number in range(4):
        try:
            report(engine, settings, provider, seed, ids, at, random.Random(f"{seed} {number}"))
        except Exception:  # the provider sends its report again
            logging.getLogger("drill").debug("a report failed", exc_info=True)
        time.sleep(0.02)


def report(
    engine: Engine,
    settings: Settings,
    provider: Remote,
    seed: int,
    ids: dict[str, int],
    at: datetime,
    dice: random.Random,
) -> None:
    """What became of all that was delivered so far: shuffled, some of it twice, in several requests; then applied."""
    deliveries = provider.report()["deliveries"]
    for name, is_mail in (("sendgrid", True), ("twilio", False)):
        events = [
            event
            for key, recipient in deliveries
            if ("@" in recipient) == is_mail and key in ids  # a restore may have forgotten it
            for event in _events(seed, key, ids[key], is_mail, at)
        ]
        events += dice.sample(events, len(events) // 3)
        dice.shuffle(events)
        for group in _split(events, dice):
            with engine.begin() as connection:
                receive(settings, connection, name, group, at)
    apply(Shop(settings, engine), at=at, batch=dice.choice([1, 5, 1000]))


def _events(seed: int, key: str, customer_id: int, is_mail: bool, at: datetime) -> list[Event]:
    """What the provider says of a message: the same each time it is asked."""
    return [
        Event(
            customer_id=customer_id,
            event_key=f"{key} {kind}",
            message_key=key,
            kind=kind,
            detail="blocked" if kind == "bounce" else None,
            link="https://shop.example/" if kind == "click" else None,
            provider_id="m" * 22,
            occurred_at=at,
        )
        for kind in random.Random(f"{seed} {key}").choice(MAIL_ENDS if is_mail else SMS_ENDS)
    ]


def _split(events: list[Event], dice: random.Random) -> Iterator[list[Event]]:
    while events:
        size = dice.choice([1, 3, 50])
        yield events[:size]
        del events[:size]


def _die_at(engine: Engine, moment: int) -> None:
    """Kill this process for real before its statement, commit or call number `moment`, or right after it."""
    left = moment

    def tick(*_: Any, **__: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    for name in ("before_cursor_execute", "after_cursor_execute", "commit"):
        event.listen(engine, name, tick)

    def around(owner: type, name: str) -> None:
        call = getattr(owner, name)

        def ticking(*arguments: Any) -> Any:
            tick()
            answer = call(*arguments)
            tick()
            return answer

        setattr(owner, name, ticking)

    around(sendgrid_email.SendgridEmail, "_post")
    around(twilio_sms.TwilioSms, "_create")
