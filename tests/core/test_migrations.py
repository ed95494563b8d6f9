"""Migrations: a killed one is done or not begun, two at once take turns, later ones go on top of a database in use."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.exc import IntegrityError

import schema_snapshot
from retention.core import database
from retention.core.errors import StateError
from retention.core.settings import Settings, from_environment
from retention.local import postgres
from sql_text import SQL, without_comments

MIGRATE = "from retention.core import database, settings; database.migrate(settings.from_environment())"


@pytest.fixture
def empty(server: str, tmp_path: Path) -> Iterator[Settings]:
    """Settings of a database without a schema, and an include folder of its own to add migrations to."""
    name = f"migrations_{os.getpid()}"
    url = postgres.ensure_database(server, name)
    include = tmp_path / "include"
    shutil.copytree(from_environment({}).include / "sql", include / "sql")
    yield from_environment({"RETENTION_DATABASE_URL": url, "RETENTION_INCLUDE": str(include)})
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")


def tables(settings: Settings) -> set[str]:
    with psycopg.connect(settings.database_url or "") as connection:
        return {
            name
            for (name,) in connection.execute("select table_schema || '.' || table_name from information_schema.tables")
        }


def snapshot_of(settings: Settings) -> str:
    """The snapshot of a database; skipped where the server is another version than the snapshot's."""
    url = settings.database_url or ""
    if len(versions := schema_snapshot.major_versions(url)) > 1:
        pytest.skip(f"PostgreSQL {' and '.join(sorted(versions))} say the same in other words")
    return schema_snapshot.dump(url)


def add(settings: Settings, name: str) -> None:
    """A migration of its own beside those that are there."""
    number = name.partition(".")[0]
    (settings.include / "sql" / "schema" / f"{name}.sql").write_text(f"create table shop.added_{number} (a integer);\n")


def begin(settings: Settings) -> subprocess.Popen[bytes]:
    """A process of its own that migrates."""
    environ = {
        **os.environ,
        "RETENTION_DATABASE_URL": settings.database_url or "",
        "RETENTION_INCLUDE": str(settings.include),
    }
    return subprocess.Popen([sys.executable, "-c", MIGRATE], env=environ, stderr=subprocess.PIPE)


def wait_for_sleep(settings: Settings) -> None:
    """Until a migration is inside its pg_sleep."""
    with psycopg.connect(settings.database_url or "", autocommit=True) as connection:
        deadline = time.monotonic() + 60
        while not connection.execute(
            "select 1 from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()"
        ).fetchone():
            assert time.monotonic() < deadline, "the migration never began"
            time.sleep(0.05)


@pytest.mark.parametrize("where", ["first", "between", "last"])
def test_a_migration_that_is_killed_resumes_by_itself(empty: Settings, where: str) -> None:
    for name in ("9998.between", "9999.last"):
        add(empty, name)
    files = sorted((empty.include / "sql" / "schema").glob("*.sql"))
    slow = {"first": files[0], "between": files[-2], "last": files[-1]}[where]
    text = slow.read_text()
    slow.write_text(f"{text}\n;\ncreate table public.half (a integer);\nselect pg_sleep(20);\n")
    process = begin(empty)
    wait_for_sleep(empty)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with psycopg.connect(empty.database_url or "", autocommit=True) as connection:  # the server notices by itself later
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where wait_event = 'PgSleep' and datname = current_database()"
        )
    assert "public.half" not in tables(empty)
    slow.write_text(text)
    applied = database.migrate(empty)
    assert applied == [file.stem for file in files if file >= slow]
    assert database.migrate(empty) == []
    assert "delivery.messages" in tables(empty)


def test_a_migration_that_cannot_be_recorded_leaves_nothing_of_itself(empty: Settings) -> None:
    database.migrate(empty)
    (empty.include / "sql" / "schema" / "9999.unrecorded.sql").write_text(
        "create table public.half (a integer);\n"
        "alter table public.migrations add constraint known check (name <> '9999.unrecorded');\n"
    )
    with pytest.raises(IntegrityError, match="known"):
        database.migrate(empty)
    assert "public.half" not in tables(empty)


def test_two_that_migrate_at_once_take_turns(empty: Settings) -> None:
    first, second = begin(empty), begin(empty)
    assert [process.wait(120) for process in (first, second)] == [0, 0]
    assert database.migrate(empty) == []


def test_a_migration_that_is_added_later_comes_on_top(empty: Settings) -> None:
    database.migrate(empty)
    with psycopg.connect(empty.database_url or "") as connection:
        connection.execute("insert into shop.country_zones (country, zone) values ('NL', 'Europe/Amsterdam')")
    add(empty, "9998.added")
    assert database.migrate(empty) == ["9998.added"]
    add(empty, "9999.added")
    assert database.migrate(empty) == ["9999.added"]
    assert {"shop.added_9998", "shop.added_9999"} <= tables(empty)
    with psycopg.connect(empty.database_url or "") as connection:
        assert connection.execute("select zone from shop.country_zones").fetchall() == [("Europe/Amsterdam",)]


@pytest.mark.parametrize(
    "record",
    [
        "create table public.migrations (name text primary key, applied_at timestamptz not null default now());"
        "insert into public.migrations (name) values ('0001.ground'), ('0020.day_protocol')",
        "create table public._yoyo_migration (migration_id text, applied_at_utc timestamp);"
        "insert into public._yoyo_migration (migration_id) values ('0001.ground')",
        "select 1",
    ],
    ids=["the migrations before", "yoyo", "none"],
)
def test_a_schema_that_the_baseline_did_not_make_is_refused(empty: Settings, record: str) -> None:
    with psycopg.connect(empty.database_url or "") as connection:
        connection.execute("create schema shop; create table shop.touched (customer_id bigint, day date)")
        connection.execute(record)
    before = tables(empty)
    refusal = "cannot be brought up to date: set RETENTION_DATABASE_URL to a new, empty database"
    with pytest.raises(StateError, match=refusal):
        database.migrate(empty)
    assert tables(empty) == before
    with pytest.raises(StateError, match=refusal), database.connect(empty).connect() as connection:
        database.run(connection, "core/newest_change")


def test_the_migrations_make_what_the_snapshot_says(empty: Settings) -> None:
    database.migrate(empty)
    assert snapshot_of(empty) == schema_snapshot.FILE.read_text(), "run `make schema`, and look at what differs"


def test_a_database_made_by_the_snapshot_is_the_same(empty: Settings) -> None:
    with psycopg.connect(empty.database_url or "") as connection:
        connection.execute(schema_snapshot.FILE.read_text())
    assert snapshot_of(empty) == schema_snapshot.FILE.read_text()


def test_migrating_file_by_file_makes_what_the_snapshot_says(empty: Settings) -> None:
    files = sorted((empty.include / "sql" / "schema").glob("*.sql"))
    for file in files:
        file.rename(file.with_suffix(".later"))
    for file in files:
        file.with_suffix(".later").rename(file)
        assert database.migrate(empty) == [file.stem]
    assert snapshot_of(empty) == schema_snapshot.FILE.read_text()


def test_the_numbers_of_migrations_rise_from_1_without_gaps() -> None:
    names = sorted(file.name for file in (SQL / "schema").iterdir())
    numbers = [re.fullmatch(r"(\d{4})\.\w+\.sql", name) for name in names]
    assert [number and int(number[1]) for number in numbers] == list(range(1, len(names) + 1)), names


NAMES_NO_COLUMNS = re.compile(
    r"\bselect\s+(?:distinct\s+)?\*|\w\.\*|,\s*\*"
    r"|\binsert\s+into\s+[\w.\"]+(?:\s+as\s+\w+)?\s*\(?\s*(?:select|values|table|with)\b"
)


def test_a_migration_names_its_columns() -> None:
    texts = {file.name: without_comments(file.read_text().lower()) for file in (SQL / "schema").glob("*.sql")}
    assert not {name: found[0] for name, text in texts.items() if (found := NAMES_NO_COLUMNS.search(text))}


@pytest.mark.parametrize(
    "statement",
    [
        "create view shop.v as select * from shop.orders",
        "create view shop.v as select r.* from shop.rules as r",
        "insert into shop.rates select currency, day, 1 from shop.old",
        "insert into shop.rates\nvalues ('USD', '2026-01-01', 1)",
        "insert into shop.rates (select currency, day, 1 from shop.old)",
    ],
)
def test_a_migration_that_does_not_name_its_columns_is_found(statement: str) -> None:
    assert NAMES_NO_COLUMNS.search(statement)
