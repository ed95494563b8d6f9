"""Migrations: a killed one is done or not begun, two at once take turns, a database of an earlier version goes on."""

from __future__ import annotations

import os
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

from retention.core import database
from retention.core.settings import Settings, from_environment
from retention.local import postgres

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
    files = sorted((empty.include / "sql" / "schema").glob("*.sql"))
    slow = {"first": files[0], "between": files[len(files) // 2], "last": files[-1]}[where]
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


def test_a_database_of_an_earlier_version_goes_on(empty: Settings) -> None:
    names = database.migrate(empty)
    with psycopg.connect(empty.database_url or "") as connection:
        connection.execute("create table _yoyo_migration (migration_id text, applied_at_utc timestamp)")
        connection.execute(
            "insert into _yoyo_migration select name, applied_at from migrations where name <> %s", names[-1:]
        )
        connection.execute("create table yoyo_lock (locked integer, ctime timestamp, pid integer)")
        connection.execute("insert into yoyo_lock values (1, now(), 1)")  # of one that was killed
        connection.execute("drop table migrations")
    added = empty.include / "sql" / "schema" / "9999.added.sql"
    added.write_text("create table shop.added (customer_id bigint primary key);\n")
    (empty.include / "sql" / "schema" / f"{names[-1]}.sql").write_text("select 1;\n")
    assert database.migrate(empty) == [names[-1], "9999.added"]
