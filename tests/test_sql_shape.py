"""The shape of all SQL: the same statements must run on one PostgreSQL and on Citus, and depend on no clock."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from retention.core import database
from retention.core.settings import Settings
from retention.orders import sources
from sql_text import SQL, Text, texts, without_comments

PROJECT = Path(__file__).resolve().parents[1]
TEXTS = list(texts())
STATEMENTS = [each for each in TEXTS if not each.is_migration and not each.is_macros]
BY_FOLDER = ("schema", "selections", "order_selections")  # read as a whole: no Python names a file of these

FORBIDDEN = {
    r"\bskip\s+locked\b": "fails across customers on Citus; claim by an update guarded with the state",
    r"\brollup\b|\bgrouping\s+sets\b|\bcube\b": "fails on Citus; group first, then roll up",
    r"\bcurrent_setting\b": "workers do not know our settings; pass a parameter",
    r"\bcreate\s+(or\s+replace\s+)?(constraint\s+)?trigger\b": "refused on distributed tables",
    r"\bnot\s+in\s*\(\s*(select|with)\b": "write not exists",
    r"\b(except|intersect)\b": "write not exists, or exists",
    r"\bwith\s+recursive\b": "fails beside distributed tables",
    r"\bctid\b": "no row has one place",
    r"::": "write cast(x as type): a second colon is read as a parameter",
}
CLOCK = re.compile(
    r"\b(now|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday)\s*\("
    r"|\b(current_date|current_time|current_timestamp|localtime|localtimestamp)\b"
)


def problems(find: Callable[[str], str | None], among: list[Text] = TEXTS) -> list[str]:
    """What `find` says of each text, with its name."""
    return [f"{each.file}: {each.name}: {problem}" for each in among if (problem := find(each.text))]


def test_each_statement_begins_with_a_comment() -> None:
    def silent(sql: str) -> str | None:
        body = re.sub(r"\A(\{% from [^\n]*\n|\n)*", "", sql)
        return None if re.match(r"-- \w", body) else "say what a row is, or what it does, and why"

    assert not problems(silent, [each for each in TEXTS if not each.is_macros])


@pytest.mark.parametrize("pattern", FORBIDDEN)
def test_no_statement_uses_what_does_not_run_everywhere(pattern: str) -> None:
    assert not problems(lambda sql: FORBIDDEN[pattern] if re.search(pattern, without_comments(sql).lower()) else None)


def test_no_statement_reads_a_clock() -> None:
    def clock(sql: str) -> str | None:
        # As a column's default it is for people: no statement names such a column in a condition.
        bare = re.sub(r"\bdefault\s+now\(\)", "", without_comments(sql).lower())
        return "the instant is a parameter" if CLOCK.search(bare) else None

    assert not problems(clock)


def test_each_statement_is_one_without_another_semicolon() -> None:
    assert not problems(lambda sql: "has a semicolon" if ";" in without_comments(sql) else None, STATEMENTS)


def test_no_comment_holds_a_parameter_that_the_statement_does_not_have() -> None:
    def extra(sql: str) -> str | None:
        more = set(text(sql).compile().params) - set(text(re.sub(r"--[^\n]*", "", sql)).compile().params)
        return f"{more} would be asked for" if more else None

    assert not problems(extra, STATEMENTS)


def test_every_statement_is_used_by_name_and_every_name_used_exists() -> None:
    names = {each.name for each in TEXTS}
    called = dict(_called_in_python())
    missing = [f"{where}: there is no SQL statement {name}" for name, where in called.items() if name not in names]
    assert not missing
    included = _included()
    assert included <= names, f"included or imported, but not there: {sorted(included - names)}"
    by_folder = {each.name for each in TEXTS if each.room in BY_FOLDER}
    unused = names - by_folder - set(called) - included - _mapped()
    assert not unused, f"no Python and no SQL names {sorted(unused)}"


def _included() -> set[str]:
    brought_in = r"""\{%-?\s*(?:include|from|import)\s+["']([\w/]+)\.sql["']"""
    return {name for file in SQL.rglob("*.sql") for name in re.findall(brought_in, file.read_text())}


def _mapped() -> set[str]:
    """The mappings that the sources use."""
    include = PROJECT / "include"
    used = [sources.read(include, file.stem) for file in (include / "sources").glob("*.yaml")]
    return {f"orders/mappings/{feed.mapping}" for source in used for feed in source.feeds.values()}


def _called_in_python() -> list[tuple[str, str]]:
    """Every string like "room/name", with the place it stands in."""
    rooms = "|".join(sorted({each.room for each in TEXTS}, key=len, reverse=True))
    return [
        (node.value, f"{file.relative_to(PROJECT)}, line {node.lineno}")
        for file in (PROJECT / "include" / "retention").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(rf"({rooms})/\w+", node.value)
    ]


def test_no_name_of_a_statement_is_put_together_in_python() -> None:
    """Whoever looks for a name finds it in one piece. Migrations and mappings are files, found by listing."""
    rooms = {each.room for each in TEXTS} - {"schema", "orders/mappings"}
    parts = re.compile(rf"({'|'.join(sorted(rooms, key=len, reverse=True))})/")
    found = [
        f"{file.relative_to(PROJECT)}, line {node.lineno}"
        for file in (PROJECT / "include" / "retention").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.JoinedStr)
        and isinstance(node.values[0], ast.Constant)
        and parts.fullmatch(str(node.values[0].value))
    ]
    assert not found


def test_every_key_of_a_table_with_customers_contains_the_customer(engine: Engine) -> None:
    with engine.connect() as connection:
        keys = connection.execute(text(_KEYS)).all()
    assert len(keys) > 10
    wrong = [f"{key.name} of {key.table_name} ({key.columns})" for key in keys if not key.has_customer]
    assert not wrong, f"without customer_id such a key cannot be kept across shards: {wrong}"


# One row per primary key, unique or exclusion constraint, or unique index of a table that has a customer_id.
_KEYS = """
select
    cast(i.indrelid as regclass) as table_name,
    cast(i.indexrelid as regclass) as name,
    array_to_string(array_agg(a.attname order by a.attnum), ', ') as columns,
    bool_or(a.attname = 'customer_id') as has_customer
from pg_index as i
inner join pg_class as c on c.oid = i.indrelid
inner join pg_namespace as n on n.oid = c.relnamespace
inner join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = any(i.indkey)
where (i.indisunique or i.indisexclusion)
    and n.nspname not in ('landing', 'information_schema')
    and n.nspname !~ '^pg_'
    and exists (
        select from pg_attribute as k where k.attrelid = i.indrelid and k.attname = 'customer_id' and not k.attisdropped
    )
group by i.indrelid, i.indexrelid
"""


def test_no_table_has_a_trigger(engine: Engine) -> None:
    with engine.connect() as connection:
        assert connection.execute(text("select tgname from pg_trigger where not tgisinternal")).all() == []


def test_migrating_twice_changes_nothing(settings: Settings, engine: Engine) -> None:
    before = catalog(engine)
    assert database.migrate(settings) == []
    assert catalog(engine) == before


def catalog(engine: Engine) -> list[tuple[object, ...]]:
    """Everything our schemas hold: columns with types and defaults, constraints, indexes, views, functions."""
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(_CATALOG))]


_CATALOG = """
with ours as (
    select oid, nspname from pg_namespace
    where nspname in ('shop', 'landing', 'selections', 'offers', 'campaigns', 'delivery', 'events', 'results')
)
select 'column' as kind, n.nspname || '.' || c.relname || '.' || a.attname as name, concat_ws(' ', a.attnum,
    format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, pg_get_expr(d.adbin, d.adrelid)) as what
from ours as n
inner join pg_class as c on c.relnamespace = n.oid and c.relkind in ('r', 'p', 'v', 'm')
inner join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
left join pg_attrdef as d on d.adrelid = c.oid and d.adnum = a.attnum
union all
select 'constraint', n.nspname || '.' || cast(k.conrelid as regclass) || '.' || k.conname, pg_get_constraintdef(k.oid)
from ours as n inner join pg_constraint as k on k.connamespace = n.oid
union all
select 'index', schemaname || '.' || indexname, indexdef from pg_indexes inner join ours on nspname = schemaname
union all
select 'view', schemaname || '.' || viewname, definition from pg_views inner join ours on nspname = schemaname
union all
select 'function', n.nspname || '.' || p.proname, pg_get_functiondef(p.oid)
from ours as n inner join pg_proc as p on p.pronamespace = n.oid
order by kind, name, what
"""
