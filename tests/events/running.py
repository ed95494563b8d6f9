"""The service in a process of its own, as `retention events serve` starts it."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from desk import PUBLIC, PUBLIC_KEY, TOKEN


def command(port: int | str, *more: str) -> list[str]:
    """The command line that serves on `port`."""
    return [sys.executable, "-m", "retention.cli", "events", "serve", "--port", str(port), *more]


@contextmanager
def served(url: str, port: int, files: int | None = None, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """The service, killed in the end; `files`: how many it may have open."""
    environment = {
        **os.environ,
        "RETENTION_DATABASE_URL": url,
        "RETENTION_PUBLIC_URL": PUBLIC,
        "RETENTION_SECRET": "s3",
        "SENDGRID_WEBHOOK_PUBLIC_KEY": PUBLIC_KEY,
        "TWILIO_AUTH_TOKEN": TOKEN,
        **settings,
    }
    process = subprocess.Popen(command(port), env=environment, stderr=subprocess.DEVNULL)
    if files:
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (files, files))
    try:
        _wait_for(f"http://127.0.0.1:{port}/health")
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def _wait_for(url: str) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            httpx.get(url)
            return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise AssertionError("the service does not answer")
