"""Rows of people who were erased: what the files still say of them is quarantined as it comes, and quotes nothing."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path

from sqlalchemy import Connection

from retention.contact import erasures
from retention.core.database import Fragment, Table, count, qualified, run
from retention.core.errors import InputError
from retention.core.settings import Settings, hmac_pads
from retention.orders import landing
from retention.orders.sources import Feed, Source

ERASED = "erased"  # the rule that their rows break


def quarantine(
    connection: Connection,
    settings: Settings,
    source: Source,
    *,
    load_key: str | None = None,
    ref: str | None = None,
    order_refs: Iterable[str] = (),
) -> int:
    """Delete the landed rows of erased customers and write a rejection for each; how many.

    Of one load or of all, of one customer or of all; `order_refs` are orders of theirs known from elsewhere. Raises
    InputError for a mapping whose customer_ref cannot be found.
    """
    if not erasures.is_any(connection):
        return 0
    inner_pad, outer_pad = hmac_pads(settings.secret)
    values = {
        "ref": ref,
        "load_key": load_key,
        "namespace": source.namespace,
        "source": source.name,
        "inner_pad": inner_pad,
        "outer_pad": outer_pad,
    }
    include = settings.include
    tables = {feed.landing: landing.table(source, feed) for feed in source.landed}
    tables = {name: table for name, table in tables.items() if _is_there(connection, table)}
    owned = {
        feed.landing: expression
        for feed in source.feeds.values()
        if feed.landing in tables and (expression := _expression(include, feed, "customer_ref"))
    }
    lines = source.feeds.get("order_lines")
    by_order = lines is not None and lines.landing in tables and lines.landing not in owned
    orders = set(order_refs)
    if by_order and "orders" in owned and (order_ref := _expression(include, source.feeds["orders"], "order_ref")):
        names = {"table": tables["orders"], "customer_ref": owned["orders"], "order_ref": order_ref}
        orders.update(run(connection, "orders/erased_order_refs", names, **values).scalars())
    loads: list[int] = []
    for name, expression in owned.items():
        names = {"table": tables[name], "customer_ref": expression}
        loads += run(connection, "orders/quarantine_erased", names, feed=name, **values).scalars()
    if lines is not None and by_order and orders and (order_ref := _expression(include, lines, "order_ref")):
        names = {"table": tables[lines.landing], "order_ref": order_ref}
        loads += run(
            connection,
            "orders/quarantine_erased_lines",
            names,
            feed=lines.landing,
            load_key=load_key,
            source=source.name,
            order_refs=sorted(orders),
        ).scalars()
    _recount(connection, set(loads))
    return len(loads)


def rows_of(connection: Connection, load_id: int) -> int:
    """How many rows of a load were quarantined: nobody's mistake, so no share of bad rows counts them."""
    return count(connection, "orders/count_quarantined", load_id=load_id)


def _recount(connection: Connection, loads: Collection[int]) -> None:
    if loads:
        run(connection, "orders/forget_other_rejections", load_ids=sorted(loads))
        run(connection, "orders/recount", load_ids=sorted(loads))


def _is_there(connection: Connection, table: Table) -> bool:
    return bool(run(connection, "orders/landing_columns", table=qualified(table)).all())


def _expression(include: Path, feed: Feed, column: str) -> Fragment | None:
    """What a mapping makes `column` of, None where it gives none: ``<what> as column`` on a line of its own."""
    file = include / "sql" / "orders" / "mappings" / f"{feed.mapping}.sql"
    text = re.sub(r"--[^\n]*", "", file.read_text(encoding="utf-8"))
    if not re.search(rf"\b{column}\b", text):
        return None
    found = re.search(rf"^\s*(?:(?P<what>.+?)\s+as\s+)?{column},?\s*$", text, re.MULTILINE)
    what = found["what"] or column if found else ""
    if not what or what.count("(") != what.count(")"):
        raise InputError(f"{file}: write {column} on a line of its own, like `customer_id as {column},`.")
    return Fragment(what)
