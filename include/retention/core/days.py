"""Days: what a day is, from when a fact is known, and the protocol by which each stage does its days.

A day D is a calendar day in the shop's time zone, half-open [D 00:00, D+1 00:00). Which days a stage has done stands in
``shop.days``, not in the scheduler: a skipped day is caught up once, and a manual run cannot overtake. Beside it stand
the definition that did the day, a hash, and the watermark, the newest change it had seen. The newest published day is
computed again when either has moved on; an older day stays as it was done.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine, Row

from retention.core import changes, clock, database, faults
from retention.core.database import lock
from retention.core.errors import DayRefused, InputError, RetentionError
from retention.core.settings import Settings

log = logging.getLogger(__name__)
Counts = dict[str, Any]
AGAIN = "again"  # the key in the counts of a day computed again: why
ASKED, MADE_OTHERWISE, KNOWS_MORE = "it is asked for", "what it is made by has changed", "facts have come since"
FIRST, LAST = date(1970, 1, 1), date(2199, 12, 31)  # of the days that anybody can mean; windows reach a century further
INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})"
)


class Report(Protocol):
    """What a room's function did, in fields of its own."""

    def counts(self) -> Counts:
        """As ``shop.days``, tasks and commands show it."""
        ...


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


def require_over(settings: Settings, day: date, now: datetime | None = None, newest: date | None = None) -> None:
    """Raises InputError, saying when it ends, for a day that is not over at `now` (by default the real instant).

    Half a day's facts would look like a whole day without the others. On the clock `days` a day may be played ahead.
    The message names the `newest` published day where it is given.
    """
    ends = known_at(day, settings.shop_time_zone)
    if settings.clock == "wall" and (now or clock.now()) < ends:
        raise InputError(
            f"{day} is not over: it ends at {ends:%Y-%m-%d %H:%M} ({settings.shop_time_zone}). Do it after that."
            + (f" The newest published day is {newest}." if newest else "")
        )


def newest_published(connection: Connection) -> date | None:
    """The newest day whose orders are published, None in an empty shop."""
    day: date | None = database.one(connection, "core/newest_published")["day"]
    return day


def first_published(connection: Connection, since: date) -> date | None:
    """The first day, from `since` on, whose orders are published; None if there is none."""
    day: date | None = database.one(connection, "core/first_published", since=since)["day"]
    return day


def refuse_ahead(connection: Connection, day: date) -> None:
    """Raises InputError, naming the newest published day, for a day after it."""
    _refuse_ahead(day, newest_published(connection))


def _refuse_ahead(day: date, newest: date | None) -> None:
    if newest is None:
        raise InputError(f"{day} is not published, and no other day is: sync the shop's orders first.")
    if day > newest:
        raise InputError(f"{day} is not published: the newest published day is {newest}. Sync the days up to it first.")


def require_published(connection: Connection, day: date) -> None:
    """Raises InputError, naming the newest published day, for a day that is not published."""
    found = database.one(connection, "core/publication", day=day)
    _refuse_ahead(day, found["newest"])
    if not found["is_published"]:
        raise InputError(
            f"{day} was never published by itself, so nothing can be done for it. The newest published day is "
            f"{found['newest']}."
        )


@contextmanager
def apart(part: str, day: date, failed: dict[str, Exception]) -> Iterator[None]:
    """What goes wrong inside is the affair of `part` alone: it is logged and kept in `failed`, and the others go on."""
    try:
        yield
    except RetentionError as problem:
        log.error("%s, %s: %s", part, day, problem)
        failed[part] = problem
    except Exception as problem:  # of whatever sort: a fault of one part must not be a fault of all
        log.error("%s, %s: %s", part, day, faults.in_full(problem))
        failed[part] = problem


def difference(rows: Iterable[Row[Any]]) -> Counts:
    """What a rehearsal shows of customers: who `entered` and `left`, with ten references, and how many are the `same`.

    `rows`: by verdict, as the macro ``verdicts_with_samples`` gives them.
    """
    found = {row.verdict: {"customers": row.customers, "sample": row.sample or []} for row in rows}
    nobody: Counts = {"customers": 0, "sample": []}
    return {
        "entered": found.get("entered", nobody),
        "left": found.get("left", nobody),
        "same": found.get("same", nobody)["customers"],
    }


def fingerprint(*texts: str) -> str:
    """The definition that `texts` make: the first 12 hex digits of their hash."""
    return hashlib.sha256("\x1f".join(texts).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Done:
    """What a day that is done has left in ``shop.days``."""

    counts: Counts
    definition: str
    watermark: int | None


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Whether what is recorded of a day stands, and what the day would be done by now."""

    done: Done | None
    why: str | None  # why it is to be done; None: what is recorded stands
    definition: str
    watermark: int

    @property
    def counts(self) -> Counts | None:
        """What is recorded, where it stands."""
        return self.done.counts if self.done and self.why is None else None


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of a part for one day."""

    day: date
    before: Counts  # what it has counted for the day already: nothing, unless it is done again
    watermark: int


@dataclass(frozen=True)
class Part:
    """A part of a stage, which does its days in order: a source, a selection, a campaign or a piece of one."""

    stage: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.stage} {self.name}".strip()

    def done(self, connection: Connection, day: date) -> Done | None:
        """What it has left of `day`, None if it has not done it."""
        return done_by(connection, [self], day).get(self)

    def newest_done(self, connection: Connection, before: date | None = None) -> date | None:
        """The newest day it has done, of all or of those before `before`."""
        found = database.one(connection, "core/newest_day_done", stage=self.stage, part=self.name, before=before)
        day: date | None = found["day"]
        return day

    def pending(self, connection: Connection, day: date) -> date | None:
        """The oldest published day before `day` that it has begun or skipped and is still to do."""
        found = database.one(connection, "core/first_pending_day", stage=self.stage, part=self.name, day=day)
        pending: date | None = found["day"]
        return pending

    def refuse_undone(self, connection: Connection, day: date, what: str, help: str) -> None:
        """Raises DayRefused for a `day` it has not done: `what` has not, and `help` says what to do, where it helps."""
        newest = self.newest_done(connection)
        if newest is not None and newest > day:
            help = f"it has gone on to {newest} and does no older day any more: do {newest}, or a day after it"
        raise DayRefused(f"{what} has not done {day}; {help}.")

    def record(
        self,
        connection: Connection,
        day: date,
        state: str,
        counts: Counts | None = None,
        message: str = "",
        *,
        definition: str = "",
        watermark: int | None = None,
    ) -> None:
        """Write what became of a day: state running, done or failed. A day that is done stays so."""
        database.run(
            connection,
            "core/record_day",
            stage=self.stage,
            part=self.name,
            day=day,
            state=state,
            counts=json.dumps(counts or {}),
            message=message[:2000],
            definition=definition,
            watermark=watermark,
        )

    @contextmanager
    def failure_recorded(self, engine: Engine, day: date) -> Iterator[None]:
        """What is raised inside is recorded as why the day failed, and raised again."""
        try:
            yield
        except Exception as problem:
            with engine.begin() as connection:
                self.record(connection, day, "failed", message=faults.summary(problem))
            raise

    def refuse_past(self, connection: Connection, day: date) -> None:
        """Raises DayRefused for a day never done and older than the newest one done: time does not run back."""
        newest = self.newest_done(connection)
        if newest is not None and newest > day and self.done(connection, day) is None:
            raise DayRefused(
                f"{self}: {newest} is already done, so {day} can no longer be done. Do a day after {newest}; "
                f"--dry-run shows what {day} would give."
            )

    def ask(
        self,
        engine: Engine,
        day: date,
        content: str | None,
        builds_on: Sequence[Part] = (),
        *,
        is_afresh: bool = False,
    ) -> Standing:
        """Whether `day` is to be done, again or for the first time.

        The newest published day is, when what does it has changed, or facts have come; an older one stands. A part
        that has no `content` does no day twice. `is_afresh`: whatever is recorded, the day is to be done.
        """
        with engine.connect() as connection:
            newest_change = changes.newest(connection)
            found = done_by(connection, [self, *builds_on], day)
            is_newest = day == newest_published(connection)
        done = found.get(self)
        below = [found[part] for part in builds_on if part in found]
        definition = fingerprint(content or "", *(each.definition for each in below))
        why = None
        if done is None or is_afresh:
            why = ASKED
        elif content is not None and is_newest and done.definition != definition:
            why = MADE_OTHERWISE
        elif content is not None and is_newest and (done.watermark is None or done.watermark < newest_change):
            why = KNOWS_MORE
        if done and why is None and content is not None and done.definition != definition:
            log.info("%s, %s: as recorded, by what did it then; --dry-run shows what it would give now", self, day)
        elif done and why is None:
            log.info("%s, %s: as recorded", self, day)
        elif done:
            log.info("%s, %s: computed again, since %s", self, day, why)
        seen = [each.watermark for each in below if each.watermark is not None]
        return Standing(done=done, why=why, definition=definition, watermark=min([newest_change, *seen]))

    def run(
        self,
        engine: Engine,
        day: date,
        do: Callable[[Connection, Run], Counts],
        *,
        content: str | None = None,
        builds_on: Sequence[Part] = (),
        is_afresh: bool = False,
    ) -> Counts:
        """Do every earlier published day that it began or skipped, oldest first, then `day`; its counts.

        Each day is one transaction together with its record, so a crash leaves a day done or not begun. `content` is
        what does the day, `builds_on` are the parts whose work it reads: see `ask`. Raises InputError for a day that
        is not published, DayRefused for one older than the newest done.
        """
        with engine.connect() as connection:
            require_published(connection, day)
            if not is_afresh:
                self.refuse_past(connection, day)
            earlier = self.pending(connection, day)
        while earlier is not None:
            self._do(engine, earlier, do, self.ask(engine, earlier, content, builds_on))
            with engine.connect() as connection:
                earlier = self.pending(connection, day)
        return self._do(engine, day, do, self.ask(engine, day, content, builds_on, is_afresh=is_afresh))

    def _has_gone_on(self, connection: Connection, day: date) -> bool:
        """Whether a later day was published, or done by another run, since it was asked: then `day` stays as it is."""
        return self.newest_done(connection) != day or newest_published(connection) != day

    def _do(self, engine: Engine, day: date, do: Callable[[Connection, Run], Counts], standing: Standing) -> Counts:
        if standing.counts is not None:
            return standing.counts
        with engine.begin() as connection:
            self.record(connection, day, "running")
        with self.failure_recorded(engine, day), engine.begin() as connection:
            lock(connection, "stage", self.stage, self.name)
            done = self.done(connection, day)
            if done is not None and done != standing.done:
                return done.counts  # another run has done it meanwhile
            if done is not None and standing.why != ASKED and self._has_gone_on(connection, day):
                return done.counts
            before = {key: value for key, value in (done.counts if done else {}).items() if key != AGAIN}
            counts = do(connection, Run(day=day, before=before, watermark=standing.watermark))
            if done is not None:
                counts = {**counts, AGAIN: standing.why}
            self.record(connection, day, "done", counts, definition=standing.definition, watermark=standing.watermark)
        return counts


def done_by(connection: Connection, parts: Sequence[Part], day: date) -> dict[Part, Done]:
    """What those of `parts` that have done `day` have left of it."""
    rows = database.run(
        connection,
        "core/days_done",
        stages=[part.stage for part in parts],
        parts=[part.name for part in parts],
        day=day,
    )
    return {Part(row.stage, row.part): Done(dict(row.counts), row.definition, row.watermark) for row in rows}
