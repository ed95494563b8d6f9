"""A PostgreSQL server that lasts as long as a test run."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.sql import SQL, Identifier

from retention.local import postgres

MEMORY = Path("/dev/shm")  # Linux keeps it in memory
ROOM = 4 * 2**30  # bytes that must be free there: one server of a test run takes a tenth of it
SETTINGS = ("full_page_writes = off", "max_wal_size = '256MB'")


@contextmanager
def server() -> Iterator[str]:
    """Start a server that does not wait for the disk, yield its URL without a database, and remove it."""
    folder = Path(tempfile.mkdtemp(prefix="retention-test-", dir=_in_memory()))
    folder.chmod(0o755)
    data = folder / "postgres"
    try:
        url = postgres.start(data, fsync=False)
        with psycopg.connect(f"{postgres._url(data, postgres.SUPERUSER)}/postgres", autocommit=True) as connection:
            # `drop database ... with (force)` ends what is connected; autovacuum is, at times, and nobody owns it.
            connection.execute(f"grant pg_signal_backend to {postgres.ROLE}")
            for setting in SETTINGS:
                connection.execute(f"alter system set {setting}")
            connection.execute("select pg_reload_conf()")
            # A password is hashed 4,096 times at each connection, on both sides: most of what one costs.
            connection.execute("set scram_iterations = 1")
            for role, password in postgres._passwords(data).items():
                connection.execute(SQL("alter role {} password {}").format(Identifier(role), password))
        yield url
    finally:
        postgres.remove(data)
        shutil.rmtree(folder, ignore_errors=True)


def _in_memory() -> Path | None:
    """A folder in memory, where cloning a database is cheap; None where there is none, or little room."""
    has_room = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM
    return MEMORY if has_room else None
