"""The service as it runs: killed, cut off from the database, and what it writes to its log."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from desk import NOW, PUBLIC, PUBLIC_KEY, Desk, signed
from fastapi.testclient import TestClient

from retention import cli, database
from retention.events import service


def test_what_was_acknowledged_is_there_after_a_kill(desk: Desk) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "RETENTION_DATABASE_URL": str(desk.settings.database_url),
        "SENDGRID_WEBHOOK_PUBLIC_KEY": PUBLIC_KEY,
    }
    command = [sys.executable, "-m", "retention.cli", "events", "serve", "--port", str(port)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(f"{url}/health")
        body = json.dumps([desk.event("A", "delivered"), desk.event("B", "unsubscribe")]).encode()
        answer = httpx.post(f"{url}/events/sendgrid", content=body, headers=signed(body, datetime.now(UTC)))
        assert answer.json() == {"ours": 2, "new": 2}
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert desk.sendgrid(body).json() == {"ours": 2, "new": 0}
    assert desk.suppressions() == {("B", "all", "unsubscribed")}


def _wait_for(url: str) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            if httpx.get(url).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise AssertionError("the service does not answer")


def test_a_restart_of_the_database_loses_nothing(desk: Desk) -> None:
    app = service.create_app(desk.settings, database.connect(desk.settings, pool=2), now=lambda: NOW)
    client = TestClient(app, base_url=PUBLIC)
    for number in range(3):
        body = json.dumps([desk.event("A", "delivered", number)]).encode()
        assert client.post("/events/sendgrid", content=body, headers=signed(body, NOW)).json()["new"] == 1
        desk.run(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )


def test_no_address_and_no_link_is_logged(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="retention")
    link = desk.link("A")
    desk.client.post(link, data={"List-Unsubscribe": "One-Click"})
    desk.sendgrid([desk.event("A", "bounce", type="bounce", reason="A@mail.example")])
    desk.says("B", "STOP")
    desk.apply()
    assert "a text says stop: 1 customers changed" in caplog.text
    assert not [part for part in ("@", "+31", link) if part in caplog.text]


def test_the_command_line_applies_what_came(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    key = desk.message("A")
    desk.now += timedelta(minutes=1)
    desk.sendgrid([desk.event("A", "delivered")])
    monkeypatch.setenv("RETENTION_DATABASE_URL", str(desk.settings.database_url))
    assert cli.main(["events", "apply", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["delivered"] == 1
    assert desk.state(key) == ("delivered", None)
