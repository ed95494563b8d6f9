"""The service as it runs: killed, cut off from the database, and what it writes to its log."""

from __future__ import annotations

import json
import logging
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psycopg
import pytest
from desk import NOW, PUBLIC, Desk, signed
from fastapi.testclient import TestClient
from running import served

from retention.cli import console as cli
from retention.core import database
from retention.core.settings import from_environment
from retention.core.shop import Shop
from retention.events.http import service
from retention.local import postgres


def test_what_was_acknowledged_is_there_after_a_kill(desk: Desk) -> None:
    port = postgres.free_port()
    with served(str(desk.settings.database_url), port):
        body = json.dumps([desk.event("A", "delivered"), desk.event("B", "unsubscribe")]).encode()
        answer = httpx.post(
            f"http://127.0.0.1:{port}/events/sendgrid", content=body, headers=signed(body, datetime.now(UTC))
        )
        assert answer.json() == {"ours": 2, "new": 2}
    assert desk.sendgrid(body).json() == {"ours": 2, "new": 0}
    assert desk.suppressions() == {("B", "all", "unsubscribed")}


@pytest.fixture
def crashing() -> Iterator[Path]:
    """The files of a PostgreSQL server of this test's own, which runs."""
    folder = Path(tempfile.mkdtemp(prefix="retention-restart-"))
    folder.chmod(0o755)
    postgres.start(folder / "postgres")
    yield folder / "postgres"
    postgres.remove(folder / "postgres")


def test_kills_of_the_service_and_crashes_of_the_database_lose_nothing_and_double_nothing(crashing: Path) -> None:
    url = postgres.ensure_database(postgres.start(crashing), "retention")
    database.migrate(from_environment({"RETENTION_DATABASE_URL": url}))
    port = postgres.free_port()
    done = threading.Event()
    sent: list[int] = []  # customers, each with two events
    answers: Counter[int] = Counter()

    def provider(first: int) -> None:
        """Sends on and on, and again what got no 2xx, as SendGrid does."""
        number = first
        while not done.is_set():
            number += 1_000
            sent.append(number)
            body = json.dumps(
                [
                    {"event": kind, "message_key": "k", "customer_id": number, "sg_event_id": f"{kind}-{number}"}
                    for kind in ("delivered", "unsubscribe")
                ]
            ).encode()
            status = 0
            while status != 200:
                try:
                    headers = signed(body, datetime.now(UTC))
                    reply = httpx.post(f"http://127.0.0.1:{port}/events/sendgrid", content=body, headers=headers)
                    status = reply.status_code
                except httpx.HTTPError:
                    status = 0
                answers[status] += 1
                if status != 200:
                    time.sleep(0.05)

    def restart(seconds: float) -> None:
        postgres._run("pg_ctl", "-D", crashing, "-m", "immediate", "-w", "stop", stdout=subprocess.DEVNULL)
        time.sleep(seconds)
        postgres.start(crashing)

    senders = [threading.Thread(target=provider, args=(first,), daemon=True) for first in range(4)]
    with served(url, port):
        for each in senders:
            each.start()
        time.sleep(1)
    with served(url, port):  # killed, and there again
        time.sleep(0.5)
        restart(0.3)
        time.sleep(0.5)
        restart(0)
    with served(url, port):
        time.sleep(0.5)
        done.set()
        for each in senders:
            each.join(timeout=60)
    assert not [each for each in senders if each.is_alive()]
    assert answers[0], "the service was killed while it was asked"
    assert answers[503], "the database was away while it was asked"
    with psycopg.connect(url) as connection:
        events = connection.execute("select customer_id, kind from events.received").fetchall()
        stopped = connection.execute("select customer_id from shop.suppressions").fetchall()
    assert sorted(events) == sorted((number, kind) for number in sent for kind in ("delivered", "unsubscribe"))
    assert sorted(stopped) == sorted((number,) for number in sent)


def test_a_restart_of_the_database_loses_nothing(desk: Desk) -> None:
    app = service.create_app(Shop(desk.settings, database.connect(desk.settings, pool=2), lambda: NOW))
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
