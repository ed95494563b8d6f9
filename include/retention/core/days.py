"""Days: what a day is, from when a fact is known, and the order in which each stage does its days.

A day D is a calendar day in the shop's time zone, half-open [D 00:00, D+1 00:00). Which days a stage has done stands in
``shop.days``, not in the scheduler: a skipped day is caught up once, and a manual run cannot overtake.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine

from retention.core import clock, faults
from retention.core.database import lock, one, run
from retention.core.errors import InputError, StateError
from retention.core.settings import Settings

Counts = dict[str, Any]
FIRST, LAST = date(1970, 1, 1), date(2199, 12, 31)  # of the days that anybody can mean; windows reach a century further
INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})"
)


def parse(text: str) -> date:
    """A day from 1970 to 2199, written like 2026-11-21. Raises InputError for any other day and any other form."""
    try:
        if not re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            raise ValueError(text)
        day = date.fromisoformat(text)
    except ValueError as problem:
        raise InputError(f"{text[:40]!r} is not a day; write it like 2026-11-21.") from problem
    if not FIRST <= day <= LAST:
        raise InputError(f"The day {day} is outside of {FIRST} to {LAST}; write it like 2026-11-21.")
    return day


def parse_instant(text: str) -> datetime:
    """An instant from 1970 to 2199, written like 2026-11-21T09:00+01:00 or 2026-11-21T08:00:00.5Z.

    Raises InputError for any other instant and any other form.
    """
    try:
        if not INSTANT.fullmatch(text):
            raise ValueError(text)
        instant = datetime.fromisoformat(text)
        day = instant.astimezone(UTC).date()
    except (ValueError, OverflowError) as problem:
        raise InputError(
            f"{text[:40]!r} is not an instant; write it with its offset, like 2026-11-21T09:00+01:00."
        ) from problem
    if not FIRST <= day <= LAST:
        raise InputError(f"The instant {text[:40]!r} is outside of {FIRST} to {LAST}.")
    return instant


def starts_at(day: date, zone: ZoneInfo) -> datetime:
    """The instant at which `day` begins in `zone`."""
    return datetime.combine(day, time.min, tzinfo=zone)


def known_at(day: date, zone: ZoneInfo) -> datetime:
    """The instant from which the facts of the sync of `day` are known: the midnight that ends it."""
    return starts_at(day + timedelta(days=1), zone)


def require_over(settings: Settings, day: date, now: datetime | None = None) -> None:
    """Raises InputError, saying when it ends, for a day that is not over at `now` (by default the real instant).

    Half a day's facts would look like a whole day without the others. On the clock `days` a day may be played ahead.
    """
    ends = known_at(day, settings.shop_time_zone)
    if settings.clock == "wall" and (now or clock.now()) < ends:
        raise InputError(
            f"{day} is not over: it ends at {ends:%Y-%m-%d %H:%M} ({settings.shop_time_zone}). Do it after that."
        )


def newest_published(connection: Connection) -> date | None:
    """The newest day whose orders are published, None in an empty shop."""
    day: date | None = one(connection, "days/newest_published")["day"]
    return day


def recorded(connection: Connection, stage: str, part: str, day: date) -> Counts | None:
    """The counts of a day that `part` of `stage` has done, None if it has not."""
    row = run(connection, "days/recorded", stage=stage, part=part, day=day).mappings().first()
    return dict(row["counts"]) if row else None


def record(
    connection: Connection,
    stage: str,
    part: str,
    day: date,
    state: str,
    counts: Counts | None = None,
    message: str = "",
) -> None:
    """Write what became of a day: state running, done or failed."""
    run(connection, "days/record", stage=stage, part=part, day=day, state=state,
        counts=json.dumps(counts or {}), message=message[:2000])  # fmt: skip


def in_order(engine: Engine, stage: str, part: str, day: date, do: Callable[[Connection, date], Counts]) -> Counts:
    """Do every earlier published day that `part` of `stage` began or skipped, oldest first, then `day`; its counts.

    Each day is one transaction together with its record, so a crash leaves a day done or not begun. A day already done
    returns its recorded counts. Raises StateError for a day older than the newest one done: time does not run back.
    """
    while True:
        with engine.begin() as connection:
            lock(connection, "stage", stage, part)
            done = recorded(connection, stage, part, day)
            if done is not None:
                return done
            newest = one(connection, "days/newest_done", stage=stage, part=part)["day"]
            if newest is not None and newest > day:
                raise StateError(
                    f"{stage} {part}: {newest} is already done, so {day} can no longer be done: "
                    "a day that was left out is caught up before the next one, never after."
                )
            next_day = one(connection, "days/first_pending", stage=stage, part=part, day=day)["day"] or day
        with engine.begin() as connection:
            record(connection, stage, part, next_day, "running")
        try:
            with engine.begin() as connection:
                lock(connection, "stage", stage, part)
                counts = recorded(connection, stage, part, next_day)
                if counts is None:
                    counts = do(connection, next_day)
                    record(connection, stage, part, next_day, "done", counts)
        except Exception as problem:
            with engine.begin() as connection:
                record(connection, stage, part, next_day, "failed", message=faults.summary(problem))
            raise
        if next_day == day:
            return counts
