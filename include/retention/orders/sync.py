"""Sync: a day's files, or a whole history, landed, validated and published, in the order of days.

One source takes turns with itself: two runs at once do one after the other. A step that fails leaves the shop as it
was, and the day is recorded as failed; the next run does it again.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, text

from retention.core import clock, days, faults
from retention.core.database import one
from retention.core.days import Counts
from retention.core.errors import DataError, InputError, StateError
from retention.core.settings import Settings
from retention.orders import erased, files, landing, publishing, validation
from retention.orders.files import Progress
from retention.orders.sources import Source, read

STAGE = "orders"
log = logging.getLogger(__name__)


def sync(
    settings: Settings,
    engine: Engine,
    source: str,
    day: date,
    path: str | None = None,
    progress: Progress | None = None,
    now: datetime | None = None,
) -> Counts:
    """Land, validate and publish `day`, after every earlier day since the last one done; the day's counts.

    A day already done returns its recorded counts, unless its files changed. Raises NotReady while files are missing or
    still being written, DataError, ExpectationFailed, StateError for a day before the newest that was never done, or
    InputError for one that is not over at `now` (the real instant).
    """
    days.require_over(settings, day, now)
    _require_order(engine, _daily(settings, source), day)
    catch_up(settings, engine, source, day, path, progress, now)
    return _day(settings, engine, _daily(settings, source), day, path, progress)


def catch_up(
    settings: Settings,
    engine: Engine,
    source: str,
    day: date,
    path: str | None = None,
    progress: Progress | None = None,
    now: datetime | None = None,
) -> Counts:
    """Do every calendar day after the last one done and before `day`: {caught_up: [day]}.

    Raises InputError for a day that is not over at `now` (the real instant).
    """
    days.require_over(settings, day, now)
    of = _daily(settings, source)
    caught_up = []
    while (missing := _first_missing(engine, of, day)) is not None:
        _day(settings, engine, of, missing, path, progress)
        caught_up.append(missing.isoformat())
    return {"caught_up": caught_up}


def load(
    settings: Settings,
    engine: Engine,
    source: str,
    path: str | None = None,
    progress: Progress | None = None,
    *,
    until: date | None = None,
    at: datetime | None = None,
) -> Counts:
    """Land, validate and publish a whole history (file, folder or URL); its counts.

    Of a file whose path names no day, everything happened until the end of `until`, or until `at` (default: now); rows
    dated more than a day later are refused. The last day it holds is recorded as published; that day and those before
    it can then only come as files again. Raises InputError for a day, of a path or `until`, that is not over at `at`.
    """
    if until is not None:
        days.require_over(settings, until, at)
    of = read(settings.include, source)
    with turn(engine, of):
        _land(settings, engine, of, None, path, progress, at)
        _validate(settings, engine, of, None)
        end = days.known_at(until, settings.shop_time_zone) if until else at or clock.now()
        return publishing.publish(settings, engine, of, None, end)


def land(
    settings: Settings,
    engine: Engine,
    source: str,
    day: date,
    path: str | None = None,
    progress: Progress | None = None,
    now: datetime | None = None,
) -> Counts:
    """Land the files of `day`: {feed: rows}. Files that are landed already, unchanged, are left as they are.

    Raises InputError for a day that is not over at `now` (the real instant).
    """
    days.require_over(settings, day, now)
    of = _daily(settings, source)
    _require_order(engine, of, day)
    with turn(engine, of), _failure_recorded(engine, of, day):
        return _land(settings, engine, of, day, path, progress)


def validate(settings: Settings, engine: Engine, source: str, day: date) -> Counts:
    """Validate the landed rows of `day`: {feed: rejected rows}. Raises ExpectationFailed when a critical one fails."""
    of = _daily(settings, source)
    with turn(engine, of), _failure_recorded(engine, of, day):
        return _validate(settings, engine, of, day)


def publish(settings: Settings, engine: Engine, source: str, day: date) -> Counts:
    """Publish the validated rows of `day`: the counts of `sync`. Raises StateError while an earlier day is missing."""
    of = _daily(settings, source)
    _require_order(engine, of, day)
    with turn(engine, of), _failure_recorded(engine, of, day):
        if (missing := _first_missing(engine, of, day)) is not None:
            raise StateError(f"{source}: {missing} comes before {day} and has not been published yet: sync it first.")
        done = _recorded(engine, of, day)
        if done is not None and _is_published(engine, of, day):
            return done
        return _publish(settings, engine, of, day)


def _day(
    settings: Settings, engine: Engine, source: Source, day: date, path: str | None, progress: Progress | None
) -> Counts:
    with turn(engine, source), _failure_recorded(engine, source, day):
        done = _recorded(engine, source, day)
        if done is not None and not _has_changed(settings, engine, source, day, path):
            return done
        with engine.begin() as connection:
            days.record(connection, STAGE, source.name, day, "running")
        _land(settings, engine, source, day, path, progress)
        _validate(settings, engine, source, day)
        return _publish(settings, engine, source, day)


def _land(
    settings: Settings,
    engine: Engine,
    source: Source,
    day: date | None,
    path: str | None,
    progress: Progress | None,
    now: datetime | None = None,
) -> Counts:
    found = {feed.name: files.find(settings, source, feed, day, path) for feed in source.landed}
    if not any(found.values()):
        raise DataError(f"{source.name}: there is no file of any feed.")
    if day is None and (told := [file.day for each in found.values() for file in each if file.day]):
        days.require_over(settings, max(told), now)
    if day and not _is_new(engine, source, day, found):
        return {name: load["landed"] for name, load in _loads(engine, source, day).items()}
    counts = {}
    for feed in source.landed:
        if found[feed.name]:
            counts[feed.name] = landing.land(engine, source, feed, day, found[feed.name], progress)["landed"]
        else:
            with engine.begin() as connection:
                landing.forget(connection, source, feed, day)
    return counts


def _validate(settings: Settings, engine: Engine, source: Source, day: date | None) -> Counts:
    loads = _loads(engine, source, day)
    if not loads:
        raise StateError(f"{source.name} {landing.load_key(day)}: nothing has been landed yet.")
    with engine.begin() as connection:
        erased.set_aside(connection, settings, source, load_key=landing.load_key(day))
    return {
        feed.name: validation.validate(settings, engine, source, feed, day)["rejected"]
        for feed in source.landed
        if feed.name in loads
    }


def _publish(settings: Settings, engine: Engine, source: Source, day: date) -> Counts:
    return publishing.publish(settings, engine, source, day, days.known_at(day, settings.shop_time_zone))


def _daily(settings: Settings, name: str) -> Source:
    source = read(settings.include, name)
    if not source.daily:
        raise InputError(f"Source {name} has no files per day: load its history with `retention load --source {name}`.")
    return source


def _first_missing(engine: Engine, source: Source, day: date) -> date | None:
    """The first day after the last one done, if it is before `day`; None for a source that never began."""
    newest = _newest(engine, source)
    missing = newest + timedelta(days=1) if newest else day
    return missing if missing < day else None


def _require_order(engine: Engine, source: Source, day: date) -> None:
    newest = _newest(engine, source)
    if newest and day < newest and _recorded(engine, source, day) is None:
        raise StateError(
            f"{source.name}: {newest} is already published, so {day} can no longer be synced on its own: "
            f"bring its facts in with `retention load --source {source.name} --path ...`."
        )


def _newest(engine: Engine, source: Source) -> date | None:
    with engine.connect() as connection:
        newest: date | None = one(connection, "days/newest_done", stage=STAGE, part=source.name)["day"]
        return newest


def _recorded(engine: Engine, source: Source, day: date) -> Counts | None:
    with engine.connect() as connection:
        return days.recorded(connection, STAGE, source.name, day)


def _loads(engine: Engine, source: Source, day: date | None) -> dict[str, dict[str, Any]]:
    with engine.connect() as connection:
        return landing.loads(connection, source, day)


def _is_published(engine: Engine, source: Source, day: date) -> bool:
    loads = _loads(engine, source, day)
    return all(load["accepted"] is not None for load in loads.values())


def _has_changed(settings: Settings, engine: Engine, source: Source, day: date, path: str | None) -> bool:
    """Whether the files of a day that is done are there and differ from those that were landed."""
    try:
        found = {feed.name: files.find(settings, source, feed, day, path) for feed in source.landed}
    except DataError:
        return False  # cleared away since: what was recorded stands
    loads = _loads(engine, source, day)
    if not loads:  # recorded by the load of a history
        return any(found.values())
    return _is_new(engine, source, day, found) or not _is_published(engine, source, day)


def _is_new(engine: Engine, source: Source, day: date, found: dict[str, list[files.File]]) -> bool:
    loads = _loads(engine, source, day)
    if set(loads) != {name for name, those in found.items() if those}:
        return True
    for name, load in loads.items():
        landed = [(file["name"], file["bytes"]) for file in load["files"]]
        if landed != [(file.name, file.size) for file in found[name]]:
            return True
    return any(
        file["fingerprint"] != files.fingerprint(there)
        for name, load in loads.items()
        for file, there in zip(load["files"], found[name], strict=True)
    )


@contextmanager
def turn(engine: Engine, source: Source) -> Iterator[None]:
    """One run of a source at a time, over all its transactions."""
    key = int.from_bytes(hashlib.sha256(f"source\x1f{source.name}".encode()).digest()[:8], "big", signed=True)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("select pg_advisory_lock(:key)"), {"key": key})
        yield  # the lock goes with the connection


@contextmanager
def _failure_recorded(engine: Engine, source: Source, day: date) -> Iterator[None]:
    try:
        yield
    except Exception as problem:
        with engine.begin() as connection:
            days.record(connection, STAGE, source.name, day, "failed", message=faults.summary(problem))
        raise
