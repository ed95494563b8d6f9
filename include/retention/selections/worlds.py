"""Worlds: what the bare table names in a selection's SQL mean on a day.

The present, used when the day is the newest published one or later: ``search_path`` is ``shop``. As of a day in the
past: a schema of views over the history tables stands in front of it. Selections are read as they were on the day:
their table where that is the last day they did, their membership where they have gone on since, and computed anew where
the day is one they never did. Such a schema lives inside one transaction; an error takes it along.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from uuid import uuid4

import psycopg
import sqlalchemy
from sqlalchemy import Connection

from retention.core import database, days
from retention.core.database import Fragment, Table
from retention.core.days import Part
from retention.core.errors import InputError, StateError
from retention.core.settings import Settings
from retention.selections import rendering
from retention.selections.definitions import Definition, closure, get
from retention.selections.rendering import RenderContext, Rule, shown

STAGE = "selections"
MEMBERS = "customer_id bigint primary key"  # the columns of every table of members

# In this order: the later views read the earlier ones.
_FACTS = (  # a view each, of what was known
    "selections/refresh/as_of_customers",
    "selections/refresh/as_of_orders",
    "selections/refresh/as_of_order_lines",
    "selections/refresh/as_of_customer_stats",
    "selections/refresh/as_of_consents",
    "selections/refresh/as_of_list_members",
    "selections/refresh/as_of_products",
    "selections/refresh/as_of_suppressions",
    "selections/refresh/as_of_engagement",
)


def watermark(connection: Connection, definitions: Mapping[str, Definition], name: str) -> tuple[object, ...]:
    """What a world for `name` is chosen by: the newest published day, and how far each selection below it is."""
    newest = [part(one).newest_done(connection) for one in closure(definitions, [name]) if one != name]
    return (days.newest_published(connection), *newest)


def part(name: str) -> Part:
    """The selection in ``shop.days``."""
    return Part(STAGE, name)


def statement(
    connection: Connection, settings: Settings, definitions: Mapping[str, Definition], name: str, day: date
) -> tuple[str, list[str]]:
    """The members of `name` on `day` as one select, and the statements that make its world, to be rolled back.

    Other selections are read as they are recorded: nothing is computed. Raises as `World.fill` for files in error.
    """
    definition = get(definitions, name)
    is_past = (newest := days.newest_published(connection)) is not None and day < newest
    schema = f"as_of_{day:%Y_%m_%d}"
    before: list[str] = []
    tables: dict[str, str] = {one: Table(f"selections.{one}") for one in definition.references}
    if is_past:
        known_by = Fragment(f"timestamptz '{days.known_at(day, settings.shop_time_zone).isoformat(sep=' ')}'")
        facts = {"orders": Table(f"{schema}.orders"), "order_lines": Table(f"{schema}.order_lines")}
        names = {"schema": schema, "known_by": known_by, **facts}
        before = [database.sql(settings.include, "selections/refresh/create_world", {"schema": schema})]
        before += [database.sql(settings.include, fact, names) for fact in _FACTS]
        for one in definition.references:
            tables[one] = Table(f"{schema}.selection_{one}")
            membership = {"view": tables[one], "name": Fragment(f"'{one}'"), "day": Fragment(f"date '{day}'")}
            before.append(database.sql(settings.include, "selections/refresh/as_of_membership", membership))
    path = ", ".join(map(database.identifier, [schema, "shop"] if is_past else ["shop"]))
    context = RenderContext(
        day=day,
        zone=settings.shop_time_zone,
        inactive_days=settings.inactive_days,
        table=lambda one: database.qualified(tables[one]),
    )
    rule = rendering.render(settings.include, definition.file, context).sql.strip()
    if definition.parent:
        parent = database.qualified(tables[definition.parent])
        rule = (
            f"select r.customer_id\nfrom (\n{rule}\n) as r\n"
            f"where exists (select from {parent} as p where p.customer_id = r.customer_id)"
        )
    return rule, [*before, f"set local search_path = {path}"]


@dataclass(kw_only=True)
class World:
    """One world on one connection, inside its transaction."""

    connection: Connection
    settings: Settings
    definitions: Mapping[str, Definition]
    day: date
    may_compute: bool  # selections that are still to do the day: compute them here, or refuse
    is_afresh: bool = False  # compute each selection here, whatever is recorded
    excluded: dict[str, int] = field(default_factory=dict)  # of each one computed afresh: kept out by its parent
    schema: str = field(default_factory=lambda: f"as_of_{uuid4().hex[:16]}")
    search_path: str = '"shop"'
    _tables: dict[str, str] = field(default_factory=dict)
    _is_made: bool = False

    def fill(self, name: str, into: str) -> int:
        """Put the members of `name` on this day into the empty table `into`; how many they are.

        Raises InputError naming file and line when the SQL fails or gives a customer twice or none.
        """
        definition = self.definitions[name]
        for reference in definition.references:
            self._open_selection(reference)
        context = RenderContext(
            day=self.day,
            zone=self.settings.shop_time_zone,
            inactive_days=self.settings.inactive_days,
            table=self._table,
        )
        rule = rendering.render(self.settings.include, definition.file, context)
        self._search()
        parent = self._tables[definition.parent] if definition.parent else None
        size = _fill(
            self.connection,
            definition,
            rule,
            into=into,
            parent=None if self.is_afresh else parent,
            where=shown(self.settings.include, definition.file),
        )
        if self.is_afresh and parent:
            names = {"members": Table(into), "parent": Table(parent)}
            self.excluded[name] = database.count(self.connection, "selections/refresh/keep_to_parent", names)
        return size - self.excluded.get(name, 0)

    def compute(self, name: str) -> tuple[str, int]:
        """The members of `name` on this day in a table of this world, and how many they are. Raises as `fill` does."""
        self._make()
        table = Table(f"{self.schema}.selection_{name}")
        database.customer_table(self.connection, table, MEMBERS)
        return table, self.fill(name, table)

    def _table(self, name: str) -> str:
        return database.qualified(self._tables[name])

    def members(self, name: str) -> tuple[str, int]:
        """`compute`, and let the selections that follow read what it gave."""
        self._tables[name], size = self.compute(name)
        return self._tables[name], size

    def _open_selection(self, name: str) -> None:
        if name in self._tables:
            return
        newest = part(name).newest_done(self.connection)
        if self.is_afresh:
            self.members(name)
        elif newest == self.day:
            self._tables[name] = Table(f"selections.{name}")
        elif part(name).done(self.connection, self.day) is not None:
            self._tables[name] = self._membership_of(name)
        elif self.may_compute or (newest and newest > self.day):
            self.members(name)
        else:
            raise StateError(
                f"The selection {name} has not done {self.day} yet: refresh it first, "
                f"with `retention select --day {self.day} {name}`."
            )

    def _membership_of(self, name: str) -> str:
        """A view of who was in a selection on this day, which it has done."""
        self._make()
        view = Table(f"{self.schema}.selection_{name}")
        names = {"view": view, "name": Fragment(f"'{name}'"), "day": Fragment(f"date '{self.day}'")}
        database.run(self.connection, "selections/refresh/as_of_membership", names)
        return view

    def open_facts(self) -> None:
        """Stand the views of what was known by the end of the day in front of the present."""
        self._make()
        known_by = days.known_at(self.day, self.settings.shop_time_zone).isoformat(sep=" ")
        names = {
            "schema": self.schema,
            "orders": Table(f"{self.schema}.orders"),
            "order_lines": Table(f"{self.schema}.order_lines"),
            "known_by": Fragment(f"timestamptz '{known_by}'"),
        }
        for view in _FACTS:
            database.run(self.connection, view, names)
        self.search_path = f'"{self.schema}", "shop"'

    def _make(self) -> None:
        if not self._is_made:
            database.run(self.connection, "selections/refresh/create_world", {"schema": self.schema})
            self._is_made = True

    def _search(self) -> None:
        database.run(self.connection, "selections/refresh/set_search_path", search_path=self.search_path)

    def drop(self) -> None:
        """Leave nothing behind."""
        if self._is_made:
            database.run(self.connection, "selections/refresh/drop_world", {"schema": self.schema})


@contextmanager
def opened(
    connection: Connection,
    settings: Settings,
    definitions: Mapping[str, Definition],
    day: date,
    *,
    may_compute: bool = False,
    is_afresh: bool = False,
) -> Iterator[World]:
    """The world of `day`, dropped at the end; after an error the transaction it lives in must be rolled back."""
    world = World(
        connection=connection,
        settings=settings,
        definitions=definitions,
        day=day,
        may_compute=may_compute,
        is_afresh=is_afresh,
    )
    newest = days.newest_published(connection)
    if newest is not None and day < newest:
        world.open_facts()
    yield world
    world.drop()


def _fill(
    connection: Connection, definition: Definition, rule: Rule, *, into: str, parent: str | None, where: str
) -> int:
    names: dict[str, str] = {"members": into, "rule": Fragment(_escaped(rule.sql))}
    if parent:
        names["parent"] = parent
    try:
        return database.count(connection, "selections/refresh/fill", names)
    except sqlalchemy.exc.OperationalError:
        raise  # the server or a time limit, not the rule
    except sqlalchemy.exc.DBAPIError as problem:
        cause = problem.orig
        if not isinstance(cause, psycopg.Error):
            raise
        statement = database.sql(
            connection.get_execution_options()["include"],
            "selections/refresh/fill",
            {**names, "rule": Fragment(rule.sql)},
        )
        raise InputError(_explained(where, definition, rule, cause, statement.index(rule.sql))) from None


def _escaped(sql: str) -> str:
    """`sql` with its colons kept from being read as names of values."""
    return sql.replace(":", "\\:")


def _explained(where: str, definition: Definition, rule: Rule, problem: psycopg.Error, offset: int) -> str:
    """One sentence about a failed rule: file, line where PostgreSQL knows it, and what is wrong."""
    state = problem.sqlstate or ""
    if state == "23505":
        return f"{where} gives a customer more than once: {problem.diag.message_detail or ''} Each must come once."
    if state == "23502":
        return f"{where} gives a customer_id that is null. Leave such rows out."
    index = int(problem.diag.statement_position or 0) - 1 - offset
    line = f", line {rule.line(index)}" if 0 <= index < len(rule.sql) else ""
    message = problem.diag.message_primary or type(problem).__name__
    if state.startswith("22"):  # such a message quotes the value, which may be an address
        message = message.split(': "')[0]
    hint = f" {problem.diag.message_hint}" if problem.diag.message_hint else ""
    return f"{where}{line}: {message}.{hint} (The selection {definition.name} is one select of customer_id, bigint.)"
