"""The embedded PostgreSQL: made once, found again, never mistaken for another."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from retention.core.errors import StateError
from retention.local import postgres


@pytest.fixture
def data() -> Iterator[Path]:
    """Where a server's files may go: a folder that everybody can pass through, as it may run as `nobody`."""
    folder = Path(tempfile.mkdtemp(prefix="retention-pg-"))
    folder.chmod(0o755)
    yield folder / "postgres"
    postgres.remove(folder / "postgres")


def number(url: str) -> int:
    with psycopg.connect(f"{url}/postgres") as connection:
        row = connection.execute("select pg_backend_pid()").fetchone()
    assert row
    return int(row[0])


def test_two_first_commands_at_once_make_one_server(data: Path) -> None:
    with ThreadPoolExecutor() as pool:
        urls = set(pool.map(lambda _: postgres.start(data, fsync=False), range(3)))
    assert len(urls) == 1
    assert number(urls.pop())


def test_data_survive_a_crash_and_the_note_of_a_dead_server_deceives_nobody(data: Path) -> None:
    url = postgres.ensure_database(postgres.start(data, fsync=False), "shop")
    with psycopg.connect(url) as connection:
        connection.execute("create table kept as select 7 as seven")
    os.kill(int((data / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
    while postgres.is_ready(data):
        pass
    assert not postgres.stop(data)
    with psycopg.connect(f"{postgres.start(data, fsync=False)}/shop") as connection:
        assert connection.execute("select seven from kept").fetchone() == (7,)


def test_only_its_owner_reads_the_servers_log_and_one_of_an_earlier_version_is_closed(data: Path) -> None:
    log = data.with_name("postgres.log")
    before = os.umask(0o022)
    try:
        postgres.start(data, fsync=False)
        assert log.stat().st_mode & 0o777 == 0o600
        postgres.stop(data)
        log.chmod(0o644)
        postgres.start(data, fsync=False)
        assert log.stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)
    assert "database system is ready" in log.read_text()


def test_it_stops_and_says_whether_it_ran(data: Path) -> None:
    postgres.start(data, fsync=False)
    assert postgres.is_ready(data)
    assert postgres.stop(data)
    assert not postgres.stop(data)
    assert not postgres.is_ready(data)


def test_a_creation_that_was_cut_off_is_begun_anew(data: Path) -> None:
    draft = data.with_name("postgres.new")
    draft.mkdir()
    (draft / "PG_VERSION").write_text("18")
    assert postgres.start(data, fsync=False)


def test_a_folder_with_other_files_is_left_as_it_is(data: Path) -> None:
    data.mkdir()
    (data / "letter.txt").write_text("dear")
    with pytest.raises(StateError, match="holds files but no PostgreSQL"):
        postgres.start(data)
    assert (data / "letter.txt").read_text() == "dear"


def test_nobody_without_the_password_gets_in(data: Path) -> None:
    url = postgres.start(data, fsync=False)
    address = url.rpartition("@")[2]
    for role in ("postgres", "retention", "nobody"):
        for password in ("", ":postgres", ":retention"):
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(f"postgresql://{role}{password}@{address}/postgres", passfile="/dev/null")
    kept = data.with_name("postgres.passwords.json")
    assert kept.stat().st_mode & 0o777 == 0o600
    assert postgres.start(data, fsync=False) == url
    assert not data.with_name("postgres.initial").exists()


def test_our_role_owns_its_databases_and_runs_no_program(data: Path) -> None:
    url = postgres.ensure_database(postgres.start(data, fsync=False), "shop")
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute("select rolsuper, rolcreaterole, rolreplication from pg_roles where rolname = user")
        assert row.fetchone() == (False, False, False)
        connection.execute("create schema mine")
        connection.execute("create table mine.kept (a integer)")
        for statement in (
            "copy mine.kept to program 'id'",
            "copy mine.kept from program 'id'",
            "copy mine.kept to '/tmp/kept'",
            "select pg_read_file('/etc/passwd')",
            "create role another superuser",
            "alter role postgres password 'x'",
            "alter system set log_statement = 'all'",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


def test_a_server_of_an_earlier_version_is_closed_and_its_data_become_our_roles(data: Path) -> None:
    postgres.start(data, fsync=False)
    passwords = data.with_name("postgres.passwords.json")
    with psycopg.connect(f"{postgres._url(data, postgres.SUPERUSER)}/postgres", autocommit=True) as connection:
        connection.execute("create database shop")
        connection.execute("drop role retention")
        connection.execute("alter role postgres password null")
    with _trusted(data, "shop") as connection:
        connection.execute("create schema kept")
        connection.execute("create table kept.numbers (id bigint generated always as identity, n integer)")
        connection.execute("create type kept.colour as enum ('red')")
        connection.execute("create view kept.seen as select n from kept.numbers")
        connection.execute("create function kept.one() returns integer language sql return 1")
        connection.execute("insert into kept.numbers (n) values (7)")
    passwords.unlink()
    url = postgres.start(data, fsync=False)
    with psycopg.connect(f"{url}/shop") as connection:
        connection.execute("alter table kept.numbers add column more text")
        connection.execute("create or replace function kept.one() returns integer language sql return 2")
        connection.execute("alter type kept.colour add value 'blue'")
        connection.execute("insert into kept.numbers (n) values (8)")
        assert connection.execute("select array_agg(n order by id) from kept.numbers").fetchone() == ([7, 8],)
    address = url.rpartition("@")[2]
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(f"postgresql://postgres@{address}/shop", passfile="/dev/null")
    assert postgres.start(data, fsync=False) == url


def _trusted(data: Path, name: str) -> psycopg.Connection[tuple[object, ...]]:
    """Make the server trust everybody, as it once did; a connection as its superuser."""
    rules = data / "pg_hba.conf"
    rules.write_text(rules.read_text().replace("scram-sha-256", "trust"))
    postgres.stop(data)
    postgres._run("pg_ctl", "-D", data, "-w", "-l", data.parent / "postgres.log", "start", stdout=-3, stderr=-3)
    return psycopg.connect(f"postgresql://postgres@127.0.0.1:{postgres._port_of(data)}/{name}")
