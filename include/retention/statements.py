"""One statement as PostgreSQL gets it, to be read, run in psql or explained: a selection, or ``room/name`` of our SQL.

What only a run knows (a campaign, say) is null here, and a comment says so: put your own value there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import psycopg
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from retention.core import channels, database, days
from retention.core.database import Table
from retention.core.documents import nearest
from retention.core.errors import InputError, StateError
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.delivery.operations import proof
from retention.selections import definitions, worlds

A_CLAIM = "00000000-0000-0000-0000-000000000000"  # in place of a worker's token: without one nothing can be claimed
# Tables that a statement is given at run time, where there is one that stands for all.
TABLES = {"orders": Table("shop.orders"), "order_lines": Table("shop.order_lines")}


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A statement, and what must be done first in its transaction for its names to mean what they do in a run.

    As text it stands in a transaction that is rolled back: whoever sends it to psql to look changes nothing.
    """

    sql: str
    before: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()  # its values that only a run knows

    def __str__(self) -> str:
        notes = [f"-- :{name} is null here: only a run knows it.\n" for name in self.unknown]
        return "".join(notes) + ";\n\n".join(["begin", *self.before, self.sql, "rollback"]) + ";"


def show(shop: Shop, name: str, day: date | None = None) -> str:
    """The statement `name` for `day` (the newest published one), with its values written out; psql runs it.

    Raises InputError for a day after the newest published one, and for a name that is unknown, or of a statement whose
    tables are known only when it runs.
    """
    with shop.engine.connect() as connection:
        return str(_statement(shop.settings, connection, name, day))


def explain(shop: Shop, name: str, day: date | None = None) -> str:
    """PostgreSQL's plan for it. Nothing is executed. Raises as `show`, and for a statement that has no plan."""
    with shop.engine.connect() as connection:
        statement = _statement(shop.settings, connection, name, day)
        connection.rollback()
        try:
            for each in statement.before:
                connection.exec_driver_sql(each.replace("%", "%%"))
            plan = connection.exec_driver_sql(f"explain {statement.sql}".replace("%", "%%")).scalars().all()
        except DBAPIError as problem:
            if "/" not in name and isinstance(problem.orig, psycopg.Error):
                said = f"{database.without_values(problem.orig)}. {problem.orig.diag.message_hint or ''}".strip()
                raise InputError(f"sql/selections/{name}.sql: {said}") from None
            if isinstance(problem.orig, psycopg.errors.SyntaxError):
                raise InputError(
                    f"PostgreSQL has no plan for {name}: only queries and changes of rows have one."
                ) from None
            raise
        finally:
            connection.rollback()
    return "\n".join(plan)


def _statement(settings: Settings, connection: Connection, name: str, day: date | None) -> Statement:
    newest = days.newest_published(connection)
    found = day or newest
    if found is None:
        raise StateError("No day is published yet; sync one first, or name a day with --day.")
    if newest is not None:
        days.refuse_ahead(connection, found)
    if "/" in name:
        return _named(settings, connection, name, found)
    return _selection(settings, connection, name, found)


def _named(settings: Settings, connection: Connection, name: str, day: date) -> Statement:
    known = database.names(settings.include)
    if name not in known:
        raise InputError(f"There is no statement {name[:80]!r}.{nearest(name, known)}")
    try:
        sql = database.sql(settings.include, name, TABLES)
    except InputError as problem:
        raise InputError(
            f"{name} cannot be shown by itself, since a run gives it names of tables: {problem}"
        ) from problem
    return _bound(connection, sql, _values(settings, connection, name, day))


def _values(settings: Settings, connection: Connection, name: str, day: date) -> dict[str, Any]:
    """By the name of a bind, what a run of `day` would give; the proof as if it ran when the day had ended."""
    over = days.known_at(day, settings.shop_time_zone)
    if name in proof.CHECKS.values():
        return proof.values(settings, connection, over)
    return {
        "day": day,
        **dict.fromkeys(("known_by", "now", "at", "called_at", "before", "until"), over),
        "from": days.known_at(day - timedelta(days=1), settings.shop_time_zone),
        "shop_zone": settings.shop_time_zone.key,
        "channels": list(channels.NAMES),
        "providers": json.dumps(dict.fromkeys(channels.NAMES, "outbox")),
        **dict.fromkeys(("is_blocked", "is_alone"), False),
        "after_at": "-infinity",
        "after_key": "",
        "size": settings.batch_size,
        "claim": A_CLAIM,
        "search_path": '"shop"',
    }


def _selection(settings: Settings, connection: Connection, name: str, day: date) -> Statement:
    found = definitions.read_all(settings.include)
    rule, before = worlds.statement(connection, settings, found, name, day)
    return Statement(sql=rule, before=tuple(before))


def _bound(connection: Connection, sql: str, values: Mapping[str, Any]) -> Statement:
    sql = re.sub(r"--[^\n]*", lambda comment: comment[0].replace(":", "\\:"), sql)  # a comment keeps its names
    compiled = text(sql).compile(dialect=connection.dialect)
    unknown = tuple(sorted(each for each in compiled.params if each not in values))
    driver: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]
    given = {each: values.get(each) for each in compiled.params}
    return Statement(sql=psycopg.ClientCursor(driver).mogrify(str(compiled), given), unknown=unknown)
