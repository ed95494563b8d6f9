"""Refresh: compute a selection for a day, write only who entered and who left, keep when that was.

One refresh is one transaction: the new set goes to ``selections.work_<name>``, is compared with the old one, and the
difference is applied to the selection's table and to ``selections.membership``. Days are done in order (``shop.days``).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from time import perf_counter

from sqlalchemy import Connection, Engine

from retention.contact import law
from retention.core import database, days, faults
from retention.core.database import Table
from retention.core.days import Counts, Run
from retention.core.errors import InputError, RetentionError, StateError
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.selections import worlds
from retention.selections.definitions import Definition, closure, get, read_each
from retention.selections.worlds import MEMBERS, World, part

RULES = re.compile(r"\brules\b")  # the table of the law, in the SQL of a selection
log = logging.getLogger(__name__)


def refresh(shop: Shop, name: str, day: date, now: datetime | None = None) -> Counts:
    """Bring the selection `name` up to `day`: {size, entered, left, seconds}.

    Every earlier published day that it has not done comes first; a day already done returns its recorded counts. Of
    the newest published day they stand only while its SQL is the same and no fact has come; else the difference is
    applied, and `again` says why. A day before the newest one done is computed as it was known then and written
    nowhere: `entered` and `left` are None. What it refers to must have done the day. Raises InputError when the
    selection's SQL is wrong, or the day is not published or not over at `now` (the real instant), StateError when a
    selection it refers to has not done the day; the database is then as before.
    """
    definitions, broken = read_each(shop.settings.include)
    definition = None if name in broken else get(definitions, name)
    _require(shop, day, now)
    if definition is None:
        _record_failed(shop.engine, name, day, broken[name])
        raise broken[name]
    return _refresh(shop, definitions, definition, day)


def select(shop: Shop, day: date, names: list[str] | None = None, now: datetime | None = None) -> dict[str, Counts]:
    """Refresh all selections, or `names` and what they refer to, in order; the counts of each.

    One that fails holds up only those that depend on it. Raises at the end, naming those that failed: InputError when
    their SQL is to blame, StateError otherwise. InputError at once for a day that is not published, or not over at
    `now` (the real instant).
    """
    definitions, broken = read_each(shop.settings.include)
    sound = [name for name in (definitions if names is None else names) if name not in broken]
    ordered = closure(definitions, sound)
    _require(shop, day, now)
    counts: dict[str, Counts] = {}
    failed: dict[str, RetentionError] = {name: broken[name] for name in broken if names is None or name in names}
    for name, problem in failed.items():
        _record_failed(shop.engine, name, day, problem)
    for name in ordered:
        definition = definitions[name]
        if missing := [one for one in definition.references if one in failed]:
            failed[name] = StateError(f"{name} waits for {', '.join(missing)}, which failed.")
            _record_failed(shop.engine, name, day, failed[name])
            continue
        try:
            counts[name] = _refresh(shop, definitions, definition, day)
        except RetentionError as problem:
            failed[name] = problem
            _record_failed(shop.engine, name, day, problem)
    if failed:
        is_input = all(isinstance(one, InputError) for one in failed.values() if "waits for" not in str(one))
        raise (InputError if is_input else StateError)(
            f"{len(failed)} of {len(failed) + len(counts)} selections failed for {day}: "
            + " ".join(f"[{name}] {problem}" for name, problem in failed.items())
        )
    return counts


def rehearse(shop: Shop, day: date, names: list[str] | None = None, now: datetime | None = None) -> dict[str, Counts]:
    """What all selections, or `names` and what they refer to, would hold on `day`, against what is recorded.

    Computed afresh and undone: of each {size, entered, left, same, excluded}, with the references of ten customers of
    those who entered and left, and how many the parent keeps out. Raises InputError as `select` does.
    """
    definitions, broken = read_each(shop.settings.include)
    for name in broken if names is None else [name for name in names if name in broken]:
        raise broken[name]
    ordered = closure(definitions, definitions if names is None else names)
    _require(shop, day, now)
    with shop.engine.connect() as connection:
        if any(_asks_the_law(definitions[name]) for name in ordered):
            law.sync_rules(connection, shop.settings.include)
        with worlds.opened(connection, shop.settings, definitions, day, is_afresh=True) as world:
            found = {name: _difference(world, definitions[name]) for name in ordered}
        connection.rollback()
    return found


def assume(shop: Shop, name: str, day: date) -> None:
    """For a rehearsal: the selection, where it never did `day`, holds from `day` on whom it would have held then."""
    definitions, broken = read_each(shop.settings.include)
    if name in broken:
        raise broken[name]
    with shop.engine.begin() as connection:
        if part(name).done(connection, day) is not None:
            return
        with worlds.opened(connection, shop.settings, definitions, day, may_compute=True) as world:
            computed, _ = world.compute(name)
            database.run(connection, "selections/refresh/assume_nobody", selection=name)
            database.run(connection, "selections/refresh/assume", {"computed": computed}, selection=name, day=day)
        part(name).record(connection, day, "done")


def _difference(world: World, definition: Definition) -> Counts:
    """A selection computed afresh, against who is recorded to be in it on the day."""
    table, size = world.members(definition.name)
    rows = database.run(
        world.connection, "selections/refresh/difference", {"computed": table}, selection=definition.name, day=world.day
    )
    return {
        "size": size,
        **days.difference(rows),
        "excluded": {f"not_in_{definition.parent}": world.excluded[definition.name]} if definition.parent else {},
    }


def members(shop: Shop, name: str, day: date | None = None) -> Iterator[str]:
    """The customer_refs in the selection on `day` (by default the last day it did), sorted.

    A day that it did is read from the membership history; any other is computed as it was known then, written nowhere.
    Raises InputError for an unknown selection or a day after the newest published one, StateError without `day` when it
    never did one.
    """
    definitions, broken = read_each(shop.settings.include)
    if name in broken:
        raise broken[name]
    get(definitions, name)
    with shop.engine.connect() as connection:
        at = day or part(name).newest_done(connection)
        if at is None:
            raise StateError(f"The selection {name} was never refreshed: run `retention select --day D {name}`.")
        if days.newest_published(connection) is not None:
            days.refuse_ahead(connection, at)
        if part(name).done(connection, at) is not None:
            yield from _refs(connection, "selections/refresh/members", selection=name, day=at)
            return
        with worlds.opened(connection, shop.settings, definitions, at, may_compute=True) as world:
            computed, _ = world.compute(name)
            yield from _refs(connection, "selections/refresh/computed_members", {"computed": computed})
        connection.rollback()


def _refs(
    connection: Connection, statement: str, names: Mapping[str, str] | None = None, /, **values: object
) -> Iterator[str]:
    for (ref,) in database.run(connection, statement, names, **values).yield_per(10_000):
        yield ref


def _refresh(shop: Shop, definitions: Mapping[str, Definition], definition: Definition, day: date) -> Counts:
    name = definition.name
    with shop.engine.connect() as connection:
        newest = part(name).newest_done(connection)
        if newest and day < newest and part(name).done(connection, day) is None:
            return _look_back(connection, shop.settings, definitions, name, day)

    def do(connection: Connection, its: Run) -> Counts:
        if _asks_the_law(definition):
            law.sync_rules(connection, shop.settings.include)
        return _write(connection, shop.settings, definitions, name, its)

    return part(name).run(
        shop.engine,
        day,
        do,
        content=_content(shop.settings, definition),
        builds_on=[part(each) for each in definition.references],
    )


def _content(settings: Settings, definition: Definition) -> str:
    """What computes a selection: its SQL, the setting that macros read, and the law where it asks for that."""
    rules = law.read(settings.include) if _asks_the_law(definition) else []
    return f"{definition.content}\ninactive_days: {settings.inactive_days}\nrules: {rules}"


def _asks_the_law(definition: Definition) -> bool:
    return RULES.search(definition.content) is not None


def _require(shop: Shop, day: date, now: datetime | None) -> None:
    """Raises InputError for a day that is not over, or later than the newest published one."""
    with shop.engine.connect() as connection:
        days.require_over(shop.settings, day, now, days.newest_published(connection))
        days.refuse_ahead(connection, day)


def _look_back(
    connection: Connection, settings: Settings, definitions: Mapping[str, Definition], name: str, day: date
) -> Counts:
    """The selection's size on a day that is past, computed in a transaction that is not committed."""
    began = perf_counter()
    with worlds.opened(connection, settings, definitions, day, may_compute=True) as world:
        _, size = world.compute(name)
    connection.rollback()
    return {"size": size, "entered": None, "left": None, "seconds": _seconds_since(began)}


def _write(
    connection: Connection, settings: Settings, definitions: Mapping[str, Definition], name: str, its: Run
) -> Counts:
    began = perf_counter()
    day, values = its.day, {"selection": name, "day": its.day}
    tables = {"table": Table(f"selections.{name}"), "work": Table(f"selections.work_{name}")}
    for table in tables.values():
        database.customer_table(connection, table, MEMBERS)
    size = _fill_work(connection, settings, definitions, name, day, tables["work"])
    database.run(connection, "selections/refresh/leave", tables)
    database.run(connection, "selections/refresh/enter", tables)
    entered, left = its.before.get("entered", 0), its.before.get("left", 0)
    if its.before:
        left -= database.count(connection, "selections/refresh/reopen_membership", tables, **values)
        entered -= database.count(connection, "selections/refresh/undo_membership", tables, **values)
    left += database.count(connection, "selections/refresh/close_membership", tables, **values)
    entered += database.count(connection, "selections/refresh/open_membership", tables, **values)
    database.run(connection, "selections/refresh/clear_work", tables)
    counts = {"size": size, "entered": entered, "left": left, "seconds": _seconds_since(began)}
    log.info("selection %s, %s: %s", name, day, counts)
    return counts


def _fill_work(
    connection: Connection,
    settings: Settings,
    definitions: Mapping[str, Definition],
    name: str,
    day: date,
    work: str,
) -> int:
    """Fill the work table; once more when a sync or a refresh came in between and the day became a past one."""
    while True:
        before = worlds.watermark(connection, definitions, name)
        with worlds.opened(connection, settings, definitions, day) as world:
            size = world.fill(name, work)
        if worlds.watermark(connection, definitions, name) == before:
            return size
        database.run(connection, "selections/refresh/clear_work", {"work": work})


def _record_failed(engine: Engine, name: str, day: date, problem: RetentionError) -> None:
    """Leave a trace of a day that is still to do: the next run catches it up, even if it was the selection's first."""
    with engine.begin() as connection:
        newest = part(name).newest_done(connection)
        if newest is None or newest < day:
            part(name).record(connection, day, "failed", message=faults.summary(problem))


def _seconds_since(began: float) -> float:
    return round(perf_counter() - began, 3)
