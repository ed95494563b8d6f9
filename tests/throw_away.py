"""A PostgreSQL server that lasts as long as a test run."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from retention.local import postgres


@contextmanager
def server() -> Iterator[str]:
    """Start a server that does not wait for the disk, yield its URL without a database, and remove it."""
    folder = Path(tempfile.mkdtemp(prefix="retention-test-"))
    folder.chmod(0o755)
    data = folder / "postgres"
    try:
        url = postgres.start(data, fsync=False)
        with psycopg.connect(f"{postgres._url(data, postgres.SUPERUSER)}/postgres") as connection:
            # `drop database ... with (force)` ends what is connected; autovacuum is, at times, and nobody owns it.
            connection.execute(f"grant pg_signal_backend to {postgres.ROLE}")
        yield url
    finally:
        postgres.remove(data)
        shutil.rmtree(folder, ignore_errors=True)
