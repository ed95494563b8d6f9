"""The drill: random faults, kills and events from a seed, and then the question whether the promise held.

    make drill N=2000 SEED=1

One schedule is a shop with a few planned messages, a provider that fails in its own ways and reports in any order, and
rounds of one to three workers, each a process that delivers, dies, is cut off from the database, or delivers again.
Meanwhile people unsubscribe, order, withdraw, and operators halt, resume, decide and go back to a backup. Then a quiet
round, and the ledger is held against what the provider delivered. Prints a line per seed that failed and a JSON object
at the end; a seed reproduces its schedule.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from checking_provider import Remote, started
from drill_schedule import Schedule, write_group
from drill_workers import FORK

import throw_away
from retention.core import database
from retention.core.settings import Settings, from_environment
from retention.delivery.channels import sendgrid_email, twilio_sms
from retention.ledger import outcomes
from retention.local import postgres


def live(url: str, provider: Remote, folder: Path) -> Settings:
    """Settings for live delivery to the provider."""
    return from_environment({"RETENTION_DATABASE_URL": url, "RETENTION_LOCAL": str(folder)}).evolve(
        include=folder / "include",
        secret="a secret of our own",
        public_url="https://shop.example",
        shop_url="https://shop.example",
        sendgrid_api_key="SG.key",
        sendgrid_host=provider.url,
        twilio_account_sid="AC" + "1" * 32,
        twilio_auth_token="token",
        twilio_base_url=provider.url,
        twilio_from="+31600000000",
        provider_timeout=0.3,
    )


def play_all(server: str, seeds: list[int], folder: Path, results: Any) -> None:
    """One job: schedule after schedule in a database of its own."""
    logging.disable(logging.ERROR)
    url = postgres.ensure_database(server, f"drill_{os.getpid()}")
    database.migrate(from_environment({"RETENTION_DATABASE_URL": url}))
    with started() as provider:
        for seed in seeds:
            schedule = Schedule(seed, live(url, provider, folder), provider)
            began = time.monotonic()
            try:
                found = schedule.play()
            except Exception:
                found = [traceback.format_exc(limit=-4)]
            results.put((seed, found, schedule.summary(), time.monotonic() - began))
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"drop database {urlsplit(url).path[1:]} with (force)")
    results.put(None)


def break_on_purpose() -> None:
    """Send again what timed out or broke off, as if that were safe: the drill must find it out."""

    def again(reason: str) -> outcomes.Outcome:
        return outcomes.retry(reason, timedelta(seconds=1))

    sendgrid_email.unknown = twilio_sms.unknown = again  # type: ignore[assignment]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--schedules", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1, help="the first one; the others follow")
    parser.add_argument("--jobs", type=int, default=3)
    parser.add_argument("--server", help="the URL of a PostgreSQL server without a database; else a throw-away one")
    parser.add_argument("--broken", action="store_true", help="send again what timed out: the drill must fail")
    options = parser.parse_args()
    if options.broken:
        break_on_purpose()
    folder = Path(tempfile.mkdtemp(prefix="retention-drill-"))
    write_group(folder / "include")
    try:
        with nullcontext(options.server) if options.server else throw_away.server() as server:
            return drill(options, server, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def drill(options: argparse.Namespace, server: str, folder: Path) -> int:
    seeds = range(options.seed, options.seed + options.schedules)
    results: Any = FORK.Queue()
    jobs = [
        FORK.Process(target=play_all, args=(server, list(seeds[number :: options.jobs]), folder, results))
        for number in range(options.jobs)
    ]
    began = time.monotonic()
    for job in jobs:
        job.start()
    failed, total, running = [], Counter[str](), len(jobs)
    while running:
        if (result := results.get(timeout=120)) is None:
            running -= 1
            continue
        seed, found, summary, seconds = result
        total.update(summary)
        if found:
            failed.append(seed)
            print(f"seed {seed} ({seconds:.1f} s): {'; '.join(found)}", flush=True)
    seconds = round(time.monotonic() - began, 1)
    print(json.dumps({"schedules": len(seeds), "failed": failed, "seconds": seconds, **dict(sorted(total.items()))}))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
