"""Signed reports to the web service, by 1, 20 and 200 events a request; beside a plain endpoint that does the same.

    .venv/bin/python benchmarks/events.py

Both are asked over 64 connections by requests signed beforehand as SendGrid signs them, each with its own events, and
write to a real PostgreSQL that waits for its disk. The peer is what one would write first: a FastAPI endpoint that
checks the signature by the official helper and writes the events of its request, by the same statements, with a commit
of its own. Prints one JSON object: events a second of both, the ratio, and the processor time of the service and of
PostgreSQL for an event, which a busy machine changes little. The run fails if an answer is not 200 or an event is lost.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import psycopg
import uvicorn
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import FastAPI, Request, Response
from sendgrid.helpers.eventwebhook import EventWebhook, EventWebhookHeader
from starlette.concurrency import run_in_threadpool

from retention.core import database
from retention.core.settings import from_environment
from retention.events import receiving, reports
from retention.local import postgres

KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC_KEY = base64.b64encode(
    KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
).decode()
SIZES = {1: 5_000, 20: 30_000, 200: 60_000}  # events a request -> events in all
CONNECTIONS = 64


def plain() -> Any:
    """The peer: one request, one transaction."""
    settings = from_environment()
    engine = database.connect(settings, pool=8)
    verifier = EventWebhook(os.environ["SENDGRID_WEBHOOK_PUBLIC_KEY"])
    app = FastAPI()

    @app.get("/health")
    def health() -> bool:
        return True

    @app.post("/events/sendgrid")
    async def take(request: Request) -> Any:
        body = await request.body()
        return await run_in_threadpool(store, body, request.headers)

    def store(body: bytes, headers: Any) -> Any:
        received_at = datetime.now(UTC)
        signature, stamp = headers[EventWebhookHeader.SIGNATURE], headers[EventWebhookHeader.TIMESTAMP]
        if not verifier.verify_signature(body.decode(), signature, stamp):
            return Response(status_code=403)
        events = reports.from_sendgrid(body.decode(), received_at)
        with engine.begin() as connection:
            return receiving.receive(settings, connection, "sendgrid", events, received_at)

    return app


def signed_requests(size: int, number: int, run: str) -> list[bytes]:
    """`number` events as HTTP requests of `size` events, signed."""
    stamp = str(int(time.time()))
    made = []
    for start in range(0, number, size):
        events = [
            {
                "email": f"person{each}@mail.example",
                "event": "delivered",
                "timestamp": int(stamp),
                "smtp-id": f"<{run}.{each}@mail.example>",
                "response": "250 OK",
                "category": ["winback", "we_miss_you"],
                "message_key": f"{each:032x}",
                "customer_id": str(each),
                "sg_event_id": f"{run}-{each}",
                "sg_message_id": f"{run}{each}.recv-1",
            }
            for each in range(start, min(start + size, number))
        ]
        body = json.dumps(events).encode()
        signature = base64.b64encode(KEY.sign(stamp.encode() + body, ec.ECDSA(hashes.SHA256()))).decode()
        head = (
            "POST /events/sendgrid HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"X-Twilio-Email-Event-Webhook-Signature: {signature}\r\n"
            f"X-Twilio-Email-Event-Webhook-Timestamp: {stamp}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        made.append(head.encode() + body)
    return made


async def ask(port: int, requests: list[bytes]) -> float:
    """Send all requests, each connection one at a time; the seconds it took."""
    waiting = iter(requests)

    async def one_connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for request in waiting:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"The answer was {head.decode().splitlines()[0]}")
            await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
        writer.close()

    begun = time.perf_counter()
    await asyncio.gather(*(one_connection() for _ in range(CONNECTIONS)))
    return time.perf_counter() - begun


def measure(command: list[str], url: str, folder: Path, port: int, name: str) -> dict[int, dict[str, float]]:
    """Events a second, and microseconds of processor time for one, by events a request."""
    environment = dict(os.environ) | {
        "RETENTION_DATABASE_URL": url,
        "RETENTION_LOCAL": str(folder),
        "SENDGRID_WEBHOOK_PUBLIC_KEY": PUBLIC_KEY,
    }
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    postmaster = psutil.Process(int((folder / "postgres" / "postmaster.pid").read_text().split()[0]))
    try:
        wait_for(f"http://127.0.0.1:{port}/health")
        asyncio.run(ask(port, signed_requests(20, 2_000, f"{name}-warm")))
        found = {}
        for size, number in SIZES.items():
            requests = signed_requests(size, number, f"{name}-{size}")
            before = seconds(psutil.Process(process.pid)), seconds(postmaster)
            taken = asyncio.run(ask(port, requests))
            after = seconds(psutil.Process(process.pid)), seconds(postmaster)
            with psycopg.connect(url) as connection:
                stored = connection.execute(
                    "select count(*) from events.received where event_key like %s", (f"{name}-{size}-%",)
                ).fetchone()
            if stored != (number,):
                raise SystemExit(f"{number} events were acknowledged, {stored} are there")
            found[size] = {
                "events_per_second": round(number / taken),
                "service_us": round((after[0] - before[0]) / number * 1e6),
                "postgres_us": round((after[1] - before[1]) / number * 1e6),
            }
        return found
    finally:
        process.terminate()
        process.wait()


def seconds(process: psutil.Process) -> float:
    """Processor time of a process, and of those it started that run."""
    return sum(sum(each.cpu_times()[:2]) for each in (process, *process.children()))


def wait_for(url: str) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(url, timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("The service does not answer")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--peer", type=int, help="serve the peer on this port")
    options = parser.parse_args()
    if options.peer:
        uvicorn.run(plain(), port=options.peer, access_log=False, log_config=None)
        return
    folder = Path(tempfile.mkdtemp(prefix="retention-benchmark-"))
    folder.chmod(0o755)
    try:
        url = postgres.ensure_database(postgres.start(folder / "postgres"), "retention")
        database.migrate(from_environment({"RETENTION_DATABASE_URL": url}))
        ports = postgres.free_port(), postgres.free_port()
        ours = [sys.executable, "-m", "retention.cli", "events", "serve", "--port", str(ports[0])]
        peer = [sys.executable, __file__, "--peer", str(ports[1])]
        results = measure(ours, url, folder, ports[0], "ours"), measure(peer, url, folder, ports[1], "peer")
    finally:
        postgres.stop(folder / "postgres")
        shutil.rmtree(folder)
    by_size = {
        f"{size}_a_request": {
            "ours": results[0][size],
            "peer": results[1][size],
            "ratio": round(results[0][size]["events_per_second"] / results[1][size]["events_per_second"], 1),
        }
        for size in SIZES
    }
    print(json.dumps({"cores": os.cpu_count(), "connections": CONNECTIONS, **by_size}))


if __name__ == "__main__":
    main()
