"""The database: connections, SQL files, migrations. The only place that knows how a statement gets to PostgreSQL.

A statement is asked for as "room/name". It stands in any file of ``include/sql/<room>``, below a line
``-- name: <name>`` and comments that say what it does, and ends with a semicolon. Mappings, selections and migrations
are files of their own: ``<room>/<name>.sql`` without such a line. Values are written as ``:name``. Where a table's name
is known only at run time the statement says ``{{ table }}``; such names are quoted here. What statements share is a
macro in ``<room>/macros.sql``, imported at the top of a file, before its first statement.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import psycopg
from jinja2 import BaseLoader, FileSystemLoader, Template, TemplateNotFound
from jinja2.utils import LRUCache
from sqlalchemy import (
    Connection,
    CursorResult,
    Engine,
    ExceptionContext,
    NullPool,
    StaticPool,
    create_engine,
    event,
    text,
)

from retention.core import channels, sandbox
from retention.core.errors import InputError, StateError
from retention.core.settings import Settings

UNDEFINED = ("3F000", "42P01", "42703", "42883", "42704")  # schema, table, column, function, object or type
NO_STATEMENTS = ("schema", "selections", "order_selections")  # folders of files that are read as a whole
TOO_OLD = (
    "The schema of this database is of a version before the present migrations, and cannot be brought up to date: set "
    "RETENTION_DATABASE_URL to a new, empty database. For the demo shop: `make stop`, `rm -r .local` (all it kept), "
    "`make run`."
)
CONNECT_SECONDS = 10
KEPT = 500  # statements as they were rendered: there are fewer, and some have several tables to name
GLOBALS = {"channels": tuple(channels.ADDRESSES.items())}  # what macros ask: each channel's kind of address
_NAME = re.compile(r"^-- name: *(.*?) *$", re.MULTILINE)


class Fragment(str):
    """SQL text made by ourselves, rendered as it is. Everything else that is rendered is quoted as a name."""


class Table(str):
    """A table's name with its schema, made by ourselves: ``schema.table`` is rendered as two quoted names."""


def connect(settings: Settings, pool: int = 0) -> Engine:
    """An engine for the shop's database; a service keeps up to `pool` connections open.

    Raises StateError when no database is configured.
    """
    if not settings.database_url:
        raise StateError("No database: set RETENTION_DATABASE_URL, or start the embedded one with `retention up`.")
    # Tasks fork and live for minutes: for them a pool would only hold connections open.
    pooled: dict[str, Any] = {"pool_size": pool, "max_overflow": 0, "pool_timeout": 10, "pool_pre_ping": True}
    # Prepared statements get a generic plan from the sixth execution on: far slower where values matter.
    arguments: dict[str, Any] = {"prepare_threshold": None, "application_name": "retention"}
    if "connect_timeout=" not in settings.database_url:
        arguments["connect_timeout"] = CONNECT_SECONDS  # a server that accepts and says nothing is waited for no longer
    engine = create_engine(
        driver_url(settings.database_url),
        hide_parameters=True,  # an error message never quotes a customer's address
        **(pooled if pool else {"poolclass": NullPool}),
        connect_args=arguments,
        execution_options={"include": settings.include},
    )
    event.listen(engine, "handle_error", _quote_no_values)
    event.listen(engine, "handle_error", _say_what_is_missing)
    return engine


def without_values(problem: psycopg.Error) -> str:
    """PostgreSQL's message without what it quotes of rows: they may be somebody's name and address."""
    message = problem.diag.message_primary or type(problem).__name__
    return message.partition(': "')[0] if (problem.sqlstate or "").startswith("22") else message


def _quote_no_values(context: ExceptionContext) -> None:
    """Of data that PostgreSQL refuses it quotes the value, or the whole row: logs and shop.days keep neither."""
    problem = context.original_exception
    if isinstance(problem, (psycopg.DataError, psycopg.IntegrityError)):
        problem.args = (without_values(problem),)
        if context.sqlalchemy_exception is not None:
            context.sqlalchemy_exception.args = (f"({type(problem).__name__}) {without_values(problem)}",)


def _say_what_is_missing(context: ExceptionContext) -> None:
    """Where a statement names what is not there, look whether migrations are missing. Raises StateError if so."""
    problem = context.original_exception
    if not isinstance(problem, psycopg.Error) or problem.sqlstate not in UNDEFINED or context.engine is None:
        return
    include = context.engine.get_execution_options()["include"]
    with create_engine(context.engine.url, poolclass=NullPool).connect() as connection:
        lacks, has_any = _missing(connection, include)
    if lacks:
        what = f"The schema is older than this program (it lacks {', '.join(lacks)})"
        raise StateError(f"{what if has_any else 'There is no schema yet'}: run `retention db init`.") from problem


def _missing(connection: Connection, include: Path) -> tuple[list[str], bool]:
    """The migrations that the database has not had, in order, and whether it has had any.

    Raises StateError for a database whose schema was not made by the first of them.
    """
    names = sorted(file.stem for file in (include / "sql" / "schema").glob("*.sql"))
    there = connection.execute(
        text("select to_regclass('public.migrations') as record, to_regnamespace('shop') as schema_of_ours")
    ).one()
    had: set[str] = set()
    if there.record:
        had.update(connection.execute(text("select name from public.migrations")).scalars())
    if there.schema_of_ours and had.isdisjoint(names[:1]):
        raise StateError(TOO_OLD)
    return [name for name in names if name not in had], bool(had)


def driver_url(url: str) -> str:
    """The URL with our driver named: ``postgresql://`` becomes ``postgresql+psycopg://``."""
    for prefix in ("postgresql://", "postgres://"):
        if url.startswith(prefix):
            return "postgresql+psycopg://" + url.removeprefix(prefix)
    return url


def sql(include: Path, name: str, names: Mapping[str, str] | None = None) -> str:
    """The statement `name` of ``sql`` with `names` filled in: quoted as one name, but for a Table or a Fragment.

    Raises InputError, with file and line, for a statement that is not there or cannot be rendered.
    """
    values = {key: _rendered(value) for key, value in (names or {}).items()}
    try:
        return _environment(include).statement(f"{name}.sql", values)
    except sandbox.PROBLEMS as problem:
        folder = include / "sql"
        if isinstance(problem, TemplateNotFound) and problem.name == f"{name}.sql":
            raise InputError(f"There is no SQL statement {name} in {folder}.") from None
        where = sandbox.place(problem) or folder / f"{name}.sql"
        raise InputError(f"{where}: {sandbox.sentence(problem)}.") from problem


def expression(include: Path, macros: str, name: str, over: str) -> str:
    """What the macro `name` of ``sql/<macros>.sql`` makes of `over`, which is SQL itself: an alias or a column."""
    template = _environment(include).from_string("{% import file as macros %}{{ macros[name](over) }}")
    return template.render(file=f"{macros}.sql", name=name, over=over)


def names(include: Path) -> list[str]:
    """The names of all statements, like ``ledger/claim``: without fragments, macros, migrations and selections.

    Raises InputError, with file and line, for a file whose names cannot be read.
    """
    folder = include / "sql"
    found: list[str] = []
    for room in (each for each in folder.rglob("*") if each.is_dir()):
        if (place := room.relative_to(folder)).parts[0] in NO_STATEMENTS and place.name != "refresh":
            continue
        state = _state(room)
        found += [f"{place}/{name}" for name in _named(room, state)]
        found += [
            f"{place}/{file.stem}"
            for file in room.glob("*.sql")
            if not file.name.startswith("_") and file.name != "macros.sql" and not _NAME.search(file.read_text())
        ]
    return sorted(found)


def _rendered(value: str) -> str:
    if isinstance(value, Fragment):
        return value
    return qualified(value) if isinstance(value, Table) else identifier(value)


def run(
    connection: Connection, name: str, names: Mapping[str, str] | None = None, /, **parameters: Any
) -> CursorResult[Any]:
    """Run the statement `name`. `parameters` are bound, never pasted."""
    include = connection.get_execution_options()["include"]
    return connection.execute(_clause(sql(include, name, names)), parameters)


def execute(connection: Connection, name: str, names: Mapping[str, str] | None = None, /) -> None:
    """Run the statement `name` past SQLAlchemy, which would take a colon in a name for a parameter.

    For statements with names that come from files: those may hold anything.
    """
    driver: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]
    with driver.cursor() as cursor:
        cursor.execute(sql(connection.get_execution_options()["include"], name, names).encode())


def count(connection: Connection, name: str, names: Mapping[str, str] | None = None, /, **parameters: Any) -> int:
    """Run a statement that returns one number."""
    return int(run(connection, name, names, **parameters).scalar_one())


def one(
    connection: Connection, name: str, names: Mapping[str, str] | None = None, /, **parameters: Any
) -> dict[str, Any]:
    """Run a statement that returns exactly one row; the row by column name."""
    return dict(run(connection, name, names, **parameters).mappings().one())


def identifier(name: str) -> str:
    """`name` as one quoted SQL identifier, whatever signs it holds. Raises InputError for what PostgreSQL refuses."""
    if not name or "\0" in name or len(name.encode()) > 63:
        raise InputError(f"{name[:80]!r} cannot be a name in PostgreSQL: 1 to 63 bytes, no NUL.")
    return '"' + name.replace('"', '""') + '"'


def qualified(table: str) -> str:
    """A table's name as SQL: ``schema.table`` as two quoted identifiers. For names of ours only, never a file's."""
    return ".".join(map(identifier, table.split(".")))


def lock(connection: Connection, *words: str) -> None:
    """Take turns: wait for the lock named by `words`, held until this transaction ends."""
    connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": lock_key(*words)})


def lock_key(*words: str) -> int:
    """The number by which PostgreSQL knows the lock named by `words`."""
    return int.from_bytes(hashlib.sha256("\x1f".join(words).encode()).digest()[:8], "big", signed=True)


def customer_table(connection: Connection, name: str, columns: str) -> None:
    """Create a customer-level table unless it is there; where Citus is present, distribute it by customer_id.

    The only place where tables keyed by customer are made at run time (SCALE rule 9).
    """
    table = qualified(name)
    if connection.execute(text("select to_regclass(:name)"), {"name": table}).scalar() is not None:
        return
    connection.execute(text(f"create table {table} ({columns})"))
    if connection.execute(text("select exists (select from pg_extension where extname = 'citus')")).scalar():
        connection.execute(
            text("select create_distributed_table(:name, 'customer_id', colocate_with => 'shop.customers')"),
            {"name": table},
        )


@contextmanager
def rehearsal(engine: Engine) -> Iterator[Engine]:
    """An engine on which everything runs as on `engine`, commits included, and nothing stays: one real transaction.

    Its transactions are savepoints of that one, which is rolled back at the end. For one thread.
    """
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    shared = _Rehearsed.connect(url, prepare_threshold=None, application_name="retention")
    trial = create_engine(engine.url, hide_parameters=True, **shared.arguments())
    trial = trial.execution_options(**engine.get_execution_options(), shared=shared)
    trial.dialect.do_begin = lambda dbapi_connection: shared.begin()  # type: ignore[method-assign]
    for listener in (_quote_no_values, _say_what_is_missing):
        event.listen(trial, "handle_error", listener)
    try:
        yield trial
    finally:
        shared.end()


def engine_arguments(engine: Engine) -> dict[str, Any]:
    """What another engine for the same database is made with beside the URL: inside a rehearsal, its connection."""
    shared = engine.get_execution_options().get("shared")
    return shared.arguments() if shared else {}


class _Rehearsed(psycopg.Connection[Any]):
    """A connection on which transactions are savepoints, and which stays open until its `end`."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._depth = 0

    def arguments(self) -> dict[str, Any]:
        """How an engine comes to use it."""
        return {"creator": lambda: self, "poolclass": StaticPool, "pool_reset_on_return": None}

    def begin(self) -> None:
        """Begin a transaction inside those that are open."""
        self._depth += 1
        self.execute(f"savepoint rehearsed_{self._depth}")

    def commit(self) -> None:
        if self._depth:
            self.execute(f"release savepoint rehearsed_{self._depth}")
            self._depth -= 1

    def rollback(self) -> None:
        if self._depth:
            self.execute(f"rollback to savepoint rehearsed_{self._depth}")
            self.execute(f"release savepoint rehearsed_{self._depth}")
            self._depth -= 1

    def close(self) -> None:
        """Stay open: whoever closes it is done with it, the rehearsal is not."""

    def end(self) -> None:
        """Undo everything."""
        super().rollback()
        super().close()


def migrate(settings: Settings) -> list[str]:
    """Apply the migrations of ``sql/schema`` that are missing, in the order of their names; the names of those applied.

    Each is one transaction together with its record, so a migration that is killed is done or not begun. Two at once
    take turns by a lock of their session, which ends with it. Raises StateError without a database, for an old one,
    and for a schema made by the migrations that stood here before the baseline.
    """
    if not settings.database_url:
        raise StateError("No database to migrate: set RETENTION_DATABASE_URL, or run `retention up`.")
    _check_version(settings)
    with connect(settings).connect() as connection:
        with connection.begin():
            connection.execute(text("select pg_advisory_lock(:key)"), {"key": lock_key("migrations")})
            run(connection, "core/create_migrations")
            missing, _ = _missing(connection, settings.include)
        for name in missing:
            with connection.begin():
                execute(connection, f"schema/{name}")
                run(connection, "core/record_migration", name=name)
    return missing


def _check_version(settings: Settings) -> None:
    with connect(settings).connect() as connection:
        version = int(connection.execute(text("show server_version_num")).scalar_one())
        if version < 160000:
            raise StateError(f"This PostgreSQL is version {version // 10000}; 16 or newer is needed.")


@lru_cache(maxsize=8)
def _environment(include: Path) -> _Environment:
    return _Environment(include / "sql")


_clause = lru_cache(maxsize=KEPT)(text)  # which looks for the parameters


class _Environment(sandbox.Sandbox):
    """Renders statements. A day asks for a few of them a thousand times, so what was rendered is kept."""

    def __init__(self, folder: Path) -> None:
        super().__init__(loader=_Statements(folder), autoescape=False)
        self.globals.update(GLOBALS)
        self._kept = cast(MutableMapping[tuple[Any, ...], tuple[str, list[Template]]], LRUCache(KEPT))

    def statement(self, name: str, values: Mapping[str, str]) -> str:
        """The template `name` rendered with `values`, anew where a file that it is made of has changed."""
        key = (name, *sorted(values.items()))
        kept = self._kept.get(key)
        if kept is None or not all(template.is_up_to_date for template in kept[1]):
            used = _used.set([])
            try:
                kept = self.get_template(name).render(values).strip(), _used.get()
            finally:
                _used.reset(used)
            self._kept[key] = kept
        return kept[0]

    def _load_template(self, name: str, *arguments: Any) -> Template:
        template = super()._load_template(name, *arguments)
        if (used := _used.get(None)) is not None:
            used.append(template)
        return template


_used: ContextVar[list[Template]] = ContextVar("used")  # by the statement being rendered: its file, and its macros'


class _Statements(BaseLoader):
    """Finds "room/name.sql": the statement called so in any file of the room, else the file of this name.

    A change to any file of the room is seen the next time.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = FileSystemLoader(folder)

    def get_source(self, environment: Any, template: str) -> tuple[str, str | None, Callable[[], bool]]:
        path, name = (self._folder / template).parent, template.rpartition("/")[2].removesuffix(".sql")
        state = _state(path)
        if found := _named(path, state).get(name):
            file, source = found
        else:
            source, file, _ = self._files.get_source(environment, template)
            if _NAME.search(source):
                raise TemplateNotFound(template)
        # Asked for every template of every statement: two looks, where `_state` looks at each file of the folder.
        found_at = _changed_at(path, file)
        return source, file, lambda: _changed_at(path, file) == found_at


def _changed_at(*paths: str | Path) -> tuple[int, ...]:
    """When each was last changed: a file by its content, a folder by what came or went. Empty if one is not there."""
    try:
        return tuple(os.stat(path).st_mtime_ns for path in paths)
    except FileNotFoundError:
        return ()


def _state(folder: Path) -> tuple[tuple[str, int], ...]:
    """The SQL files of a folder, each with the time of its last change."""
    if not folder.is_dir():
        return ()
    with os.scandir(folder) as entries:
        return tuple(sorted((each.name, each.stat().st_mtime_ns) for each in entries if each.name.endswith(".sql")))


@lru_cache(maxsize=64)
def _named(folder: Path, state: tuple[tuple[str, int], ...]) -> dict[str, tuple[str, str]]:
    """The named statements of a folder: file and text. Raises InputError for a name that is there twice."""
    found: dict[str, tuple[str, str]] = {}
    for file in (folder / name for name, _ in state):
        for name, line, source in named_statements(file):
            if name in found:
                raise InputError(f"{file}, line {line}: the statement {name} is in {found[name][0]} already.")
            found[name] = (str(file), source)
    return found


def named_statements(file: Path) -> list[tuple[str, int, str]]:
    """Each statement of a file: its name, the line that says so, and its text.

    The text begins with what stands before the first statement, for the macros imported there, and then with as many
    empty lines as keep its line numbers those of the file. Raises InputError for a statement that has no proper name
    or does not end with a semicolon.
    """
    whole = file.read_text(encoding="utf-8", errors="replace")
    starts = list(_NAME.finditer(whole))
    found = []
    for start, end in zip(starts, [*(each.start() for each in starts[1:]), len(whole)], strict=False):
        name, line = start[1], whole.count("\n", 0, start.start()) + 1
        head, text = whole[: starts[0].start()], whole[start.end() : end].rstrip()
        if not re.fullmatch(r"\w+", name):
            raise InputError(f"{file}, line {line}: {name[:80]!r} is not a name; use letters, digits and underscores.")
        if not text.endswith(";"):
            raise InputError(f"{file}, line {line}: the statement {name} does not end with a semicolon.")
        found.append((name, line, head + "\n" * (line - 1 - head.count("\n")) + text.removesuffix(";")))
    return found
