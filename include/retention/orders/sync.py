"""Sync: a day's files, or a whole history, landed, validated and published, in the order of days.

One source takes turns with itself: two runs at once do one after the other. A step that fails leaves the shop as it
was, and the day is recorded as failed; the next run does it again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, text

from retention.core import changes, database, days
from retention.core.days import MADE_OTHERWISE, Counts, Done, Part
from retention.core.errors import DataError, InputError, StateError
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.orders import erased, files, landing, publishing, sources, validation
from retention.orders.files import File, Progress
from retention.orders.landing import Batch
from retention.orders.publishing import SyncCounts
from retention.orders.sources import Source, read

STAGE = "orders"
Found = dict[str, list[File]]  # the files of each feed
log = logging.getLogger(__name__)


def sync(
    shop: Shop,
    source: str,
    day: date,
    path: str | None = None,
    progress: Progress | None = None,
    now: datetime | None = None,
) -> SyncCounts:
    """Land, validate and publish `day`, after every earlier day since the last one done; the day's counts.

    A day already done returns its recorded counts, unless its files changed, or it is the newest one and the source,
    a mapping or a suite did. Raises NotReady while files are missing or still being written, DataError,
    ExpectationFailed, StateError for a day before the newest that was never done, or InputError for one that is not
    over at `now` (the real instant).
    """
    with _turn(shop, source, day, path, progress, now) as its:
        its.catch_up(day)
        return its.do(day)


def rehearse(
    shop: Shop,
    source: str,
    day: date,
    path: str | None = None,
    progress: Progress | None = None,
    now: datetime | None = None,
) -> Counts:
    """What `sync` would count for `day`, whatever is recorded; computed, looked at, undone.

    Beside the counts: `sample`, the references of ten customers whom it touches, and `excluded`, rejected rows by rule.
    """
    with _turn(shop, source, day, path, progress, now), database.rehearsal(shop.engine) as trial:
        its = SourceDays(replace(shop, engine=trial), _daily(shop.settings, source), path, progress)
        its.catch_up(day)
        with trial.connect() as connection:
            before = changes.newest(connection)
        counts = its.do(day, is_afresh=True).counts()
        with trial.connect() as connection:
            sample = database.run(connection, "core/sample_changes", since=before).scalars().all()
            excluded: dict[str, int] = {}
            for load in its.loads(day).values():
                rules = database.run(connection, "orders/rejected_by_rule", load_id=load["load_id"]).mappings()
                excluded |= {row["rule"]: excluded.get(row["rule"], 0) + row["rows"] for row in rules}
    return {**counts, "sample": list(sample), "excluded": excluded}


def catch_up(
    shop: Shop,
    source: str,
    day: date,
    path: str | None = None,
    progress: Progress | None = None,
    now: datetime | None = None,
) -> Counts:
    """Do every calendar day after the last one done and before `day`: {caught_up: [day]}.

    Raises InputError for a day that is not over at `now` (the real instant).
    """
    with _turn(shop, source, day, path, progress, now) as its:
        return {"caught_up": its.catch_up(day)}


def load(
    shop: Shop,
    source: str,
    path: str | None = None,
    progress: Progress | None = None,
    *,
    until: date | None = None,
    at: datetime | None = None,
) -> SyncCounts:
    """Land, validate and publish a whole history (file, folder or URL); its counts.

    Of a file whose path names no day, everything happened until the end of `until`, or until `at` (default: now); rows
    dated more than a day later are refused. The last day it holds is recorded as published; that day and those before
    it can then only come as files again. Raises InputError for a day, of a path or `until`, that is not over at `at`.
    """
    if until is not None:
        days.require_over(shop.settings, until, at)
    its = SourceDays(shop, read(shop.settings.include, source), path, progress)
    with turn(shop.engine, its.source):
        found = its.files(None)
        if told := [file.day for each in found.values() for file in each if file.day]:
            days.require_over(shop.settings, max(told), at)
        its.land(None, found)
        its.validate(None)
        end = days.known_at(until, shop.settings.shop_time_zone) if until else at or shop.clock()
        return publishing.publish(shop, Batch(its.source, None), end)


def land(
    shop: Shop,
    source: str,
    day: date,
    path: str | None = None,
    progress: Progress | None = None,
    now: datetime | None = None,
) -> Counts:
    """Land the files of `day`: {feed: rows}. Files that are landed already, unchanged, are left as they are.

    Raises InputError for a day that is not over at `now` (the real instant).
    """
    with _turn(shop, source, day, path, progress, now) as its, its.part.failure_recorded(shop.engine, day):
        found = its.files(day)
        if its.differs(day, found):
            return its.land(day, found)
        return {name: load["landed"] for name, load in its.loads(day).items()}


def validate(shop: Shop, source: str, day: date) -> Counts:
    """Validate the landed rows of `day`: {feed: rejected rows}. Raises ExpectationFailed when a critical one fails."""
    its = SourceDays(shop, _daily(shop.settings, source))
    with turn(shop.engine, its.source), its.part.failure_recorded(shop.engine, day):
        return its.validate(day)


def publish(shop: Shop, source: str, day: date) -> SyncCounts:
    """Publish the validated rows of `day`: the counts of `sync`. Raises StateError while an earlier day is missing."""
    its = SourceDays(shop, _daily(shop.settings, source))
    its.refuse_past(day)
    with turn(shop.engine, its.source), its.part.failure_recorded(shop.engine, day):
        if (missing := its.first_missing(day)) is not None:
            raise StateError(f"{source}: {missing} comes before {day} and has not been published yet: sync it first.")
        done = its.done(day)
        if done is None or not its.is_published(day):
            return its.publish(day)
        if its.is_made_otherwise(day, done):
            return its.publish(day, MADE_OTHERWISE)
        return SyncCounts.recorded(done.counts)


@contextmanager
def turn(engine: Engine, source: Source) -> Iterator[None]:
    """One run of a source at a time, over all its transactions."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        key = database.lock_key("source", source.name)
        connection.execute(text("select pg_advisory_lock(:key)"), {"key": key})
        yield  # the lock goes with the connection


@dataclass(frozen=True)
class SourceDays:
    """The days of one source: the protocol of `days.Part`, and the files that decide what a day holds."""

    shop: Shop
    source: Source
    path: str | None = None
    progress: Progress | None = None

    @property
    def part(self) -> Part:
        """The source in ``shop.days``."""
        return Part(STAGE, self.source.name)

    def catch_up(self, day: date) -> list[str]:
        """Do every calendar day after the last one done and before `day`; which they are."""
        done = []
        while (missing := self.first_missing(day)) is not None:
            self.do(missing)
            done.append(missing.isoformat())
        return done

    def do(self, day: date, *, is_afresh: bool = False) -> SyncCounts:
        """Land, validate and publish `day`, unless what is recorded stands; its counts."""
        done = self.done(day)
        with self.part.failure_recorded(self.shop.engine, day):
            found = self.files(day) if done is None else self._files_still_there(day)
            why = days.ASKED if is_afresh else self._why_again(day, done, found)
            if done is not None and why is None:
                log.info("%s, %s: as recorded", self.part, day)
                return SyncCounts.recorded(done.counts)
            with self.shop.engine.begin() as connection:
                self.part.record(connection, day, "running")
            if found and self.differs(day, found):
                self.land(day, found)
            self.validate(day)
            return self.publish(day, why if done else None)

    def done(self, day: date) -> Done | None:
        """What is recorded of `day`, if it is done."""
        with self.shop.engine.connect() as connection:
            return self.part.done(connection, day)

    def first_missing(self, day: date) -> date | None:
        """The first day after the last one done, if it is before `day`; None for a source that never began."""
        newest = self._newest_done()
        missing = newest + timedelta(days=1) if newest else day
        return missing if missing < day else None

    def refuse_past(self, day: date) -> None:
        """Raises StateError for a day before the newest one done that was never done itself."""
        newest = self._newest_done()
        if newest and day < newest and self.done(day) is None:
            raise StateError(
                f"{self.source.name}: {newest} is already published, so {day} can no longer be synced on its own: "
                f"bring its facts in with `retention load --source {self.source.name} --path ...`."
            )

    def files(self, day: date | None) -> Found:
        """The files of each feed. Raises NotReady while they are not complete, DataError where there is none."""
        found = {
            feed.name: files.find(self.shop.settings, self.source, feed, day, self.path) for feed in self.source.landed
        }
        if not any(found.values()):
            raise DataError(f"{self.source.name}: there is no file of any feed.")
        return found

    def differs(self, day: date, found: Found) -> bool:
        """Whether the files are other ones than those that were landed for `day`."""
        loads = self.loads(day)
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

    def loads(self, day: date | None) -> dict[str, dict[str, Any]]:
        """What has been landed, by feed."""
        with self.shop.engine.connect() as connection:
            return landing.loads(connection, Batch(self.source, day))

    def is_published(self, day: date) -> bool:
        """Whether all that has been landed for `day` is published."""
        return all(load["accepted"] is not None for load in self.loads(day).values())

    def is_made_otherwise(self, day: date, done: Done) -> bool:
        """Whether the newest day was done by another source file, mapping or suite. Older days stay as they were."""
        definition = sources.definition(self.shop.settings.include, self.source)
        return done.definition != definition and day == self._newest_done() and bool(self.loads(day))

    def land(self, day: date | None, found: Found) -> Counts:
        """Land the files: {feed: rows}."""
        counts, batch = {}, Batch(self.source, day)
        for feed in self.source.landed:
            if found[feed.name]:
                load = landing.land(self.shop.engine, batch, feed, found[feed.name], self.progress)
                counts[feed.name] = load["landed"]
            else:
                with self.shop.engine.begin() as connection:
                    landing.forget(connection, batch, feed)
        return counts

    def validate(self, day: date | None) -> Counts:
        """Validate what was landed: {feed: rejected rows}."""
        loads, batch = self.loads(day), Batch(self.source, day)
        if not loads:
            raise StateError(f"{batch}: nothing has been landed yet.")
        with self.shop.engine.begin() as connection:
            erased.quarantine(connection, self.shop.settings, self.source, load_key=batch.key)
        return {
            feed.name: validation.validate(self.shop, batch, feed)["rejected"]
            for feed in self.source.landed
            if feed.name in loads
        }

    def publish(self, day: date, again: str | None = None) -> SyncCounts:
        """Publish what was validated, and record the day; `again` is why, for one that was done before."""
        at = days.known_at(day, self.shop.settings.shop_time_zone)
        return publishing.publish(self.shop, Batch(self.source, day), at, again)

    def _why_again(self, day: date, done: Done | None, found: Found | None) -> str | None:
        """Why a day that is done is to be done again; None where it stands."""
        if found and (self.differs(day, found) or not self.is_published(day)):
            return "its files have changed"
        return MADE_OTHERWISE if done and self.is_made_otherwise(day, done) else None

    def _files_still_there(self, day: date) -> Found | None:
        """The files of a day that is done; None where they have been cleared away: what was landed of them stands.

        Raises NotReady or DataError where somebody said where to look.
        """
        try:
            return self.files(day)
        except DataError:
            if self.path is not None:
                raise
            return None

    def _newest_done(self) -> date | None:
        with self.shop.engine.connect() as connection:
            return self.part.newest_done(connection)


@contextmanager
def _turn(
    shop: Shop,
    source: str,
    day: date,
    path: str | None,
    progress: Progress | None,
    now: datetime | None,
) -> Iterator[SourceDays]:
    """The days of a source, in its turn, once `day` may be done."""
    days.require_over(shop.settings, day, now)
    its = SourceDays(shop, _daily(shop.settings, source), path, progress)
    with turn(shop.engine, its.source):
        its.refuse_past(day)
        yield its


def _daily(settings: Settings, name: str) -> Source:
    source = read(settings.include, name)
    if not source.daily:
        raise InputError(f"Source {name} has no files per day: load its history with `retention load --source {name}`.")
    return source
