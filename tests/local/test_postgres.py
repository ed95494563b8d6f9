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

from retention.errors import StateError
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
