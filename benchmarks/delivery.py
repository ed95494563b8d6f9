"""Send N e-mails of a real campaign through the official client to a server on this machine; beside one call a message.

    .venv/bin/python benchmarks/delivery.py --messages 20000

The customers are as `winback` enrols them on one day: four languages, a thousand first names, a last order of one day.
Two workers claim, render, call and settle. Then, in the same run, the same two workers do so one message at a time:
claimed, called and settled on its own, as a loop over customers would. Prints one JSON object: messages a second of
both, the ratio, and the processor time for a message, which a busy machine changes little: that of the workers, of
PostgreSQL and of the server, each apart. The server keeps the requests and reads them when all are sent, by all the
rules that SendGrid publishes; the run fails if one is broken, or if anybody got two or none.
"""

from __future__ import annotations

import argparse
import contextlib
import cProfile
import json
import logging
import multiprocessing
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import psutil
import psycopg

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "delivery"))

from checking_provider import Remote, started

from retention.campaigns import definitions
from retention.core import database
from retention.core.clock import Stopped
from retention.core.settings import Settings, from_environment
from retention.core.shop import Shop
from retention.delivery.channels import sendgrid_email  # noqa: F401  (imported once, before the workers fork)
from retention.delivery.worker import deliver
from retention.local import postgres

FORK = multiprocessing.get_context("fork")
DAY = date(2026, 11, 20)
AT = datetime(2026, 11, 21, 10, 0, tzinfo=ZoneInfo("Europe/Amsterdam"))

PLAN = """
with people as materialized (
    select
        shop.customer_id('benchmark', %(part)s || n) as customer_id,
        %(part)s || n as ref,
        (array['en', 'nl', 'pl', 'el'])[1 + n %% 4] as language,
        n
    from generate_series(1, %(number)s) as n
),

customers as (
    insert into shop.customers
        (customer_id, namespace, customer_ref, email, first_name, language, updated_at, known_at)
    select customer_id, 'benchmark', ref, ref || '@mail.example', 'Ada' || n %% 1000, language, %(long_ago)s,
        %(long_ago)s
    from people
),

consents as (
    insert into shop.consents (customer_id, purpose, channel, is_granted, updated_at, known_at)
    select customer_id, 'marketing', 'email', true, %(long_ago)s, %(long_ago)s from people
),

orders as (
    insert into shop.orders (customer_id, source, order_ref, ordered_at, ordered_on, status, total, currency,
        total_reporting, updated_at, known_at)
    select customer_id, 'benchmark', ref, %(long_ago)s, cast(%(day)s as date) - 60, 'complete', 10, 'EUR', 10,
        %(long_ago)s, %(long_ago)s
    from people
),

enrolments as (
    insert into campaigns.enrolments (customer_id, campaign, entry_no, version, arm, entered_on)
    select customer_id, 'winback', 1, %(version)s, 'treated', %(day)s from people
)

insert into delivery.messages (customer_id, message_key, campaign, version, entry_no, step, channel, day, state, due_at,
    expires_at, window_start, window_end)
select customer_id, md5(ref), 'winback', %(version)s, 1, 'we_miss_you', 'email', %(day)s, 'planned',
    %(at)s - interval '1 hour', %(at)s + interval '2 days', '09:00', '20:00'
from people
"""


def plan(settings: Settings, part: str, number: int, statement: str = PLAN) -> None:
    """`number` more customers, each with one message of `winback` due (by PLAN the first mail), and nothing else."""
    campaign = definitions.read(settings.include, "winback")
    with psycopg.connect(settings.database_url or "", autocommit=True) as connection:
        connection.execute(
            "insert into campaigns.versions values ('winback', %s, %s, %s, '', %s) on conflict do nothing",
            (campaign.version, json.dumps(campaign.content, default=str), json.dumps(dict(campaign.templates)), DAY),
        )
        connection.execute(
            "insert into shop.days (day, stage, part, state) values (%s, 'orders', 'benchmark', 'done')"
            " on conflict do nothing",
            (DAY,),
        )
        connection.execute(
            statement,
            {
                "part": part,
                "number": number,
                "version": campaign.version,
                "day": DAY,
                "at": AT,
                "long_ago": AT - timedelta(days=300),
            },
        )
        connection.execute("vacuum analyze")


@dataclass
class Machine:
    """Whose processor time is measured: it holds what has ended as well."""

    postgres: psutil.Process
    server: psutil.Process

    def seconds(self) -> dict[str, float]:
        """Of the workers that ended, of PostgreSQL with its sessions, of the server: so far."""
        server, workers, postmaster = (
            process.cpu_times() for process in (self.server, psutil.Process(), self.postgres)
        )
        sessions = postmaster.user + postmaster.system + postmaster.children_user + postmaster.children_system
        for session in self.postgres.children():
            with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
                times = session.cpu_times()
                sessions += times.user + times.system
        return {
            "workers": workers.children_user + workers.children_system,
            "postgres": sessions,
            "server": server.user + server.system,
        }


def send(
    settings: Settings, provider: Remote, machine: Machine, number: int, profile: str | None = None
) -> tuple[float, dict[str, int]]:
    """Messages a second, and by process the microseconds of processor time for one, until all are sent."""
    provider.begin(keep=True)
    before = machine.seconds()
    begun = time.perf_counter()
    process = FORK.Process(target=work, args=(settings, profile))  # whose time can be told from ours; it starts others
    process.start()
    process.join()
    seconds = time.perf_counter() - begun
    used = {name: round((total - before[name]) / number * 1e6) for name, total in machine.seconds().items()}
    report = provider.report()
    got = Counter(key for key, _ in report["deliveries"])
    if len(got) != number or set(got.values()) != {1} or report["violations"]:
        raise SystemExit(
            f"{len(got)} of {number} messages arrived, one of them {max(got.values(), default=0)} times; broken rules: "
            f"{report['violations'][:3]}"
        )
    return number / seconds, used


def work(settings: Settings, profile: str | None) -> None:
    if not profile:
        deliver(Shop(settings, database.connect(settings), Stopped(AT)))
        return
    with cProfile.Profile() as profiler:
        deliver(Shop(settings, database.connect(settings), Stopped(AT)))
    profiler.dump_stats(profile)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--one-by-one", type=int, default=500, help="messages of the other run")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=500, help="RETENTION_BATCH_SIZE")
    parser.add_argument("--per-request", type=int, default=100, help="RETENTION_EMAILS_PER_REQUEST")
    parser.add_argument("--profile", help="write cProfile's figures of one worker to this file")
    options = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    folder = Path(tempfile.mkdtemp(prefix="retention-benchmark-"))
    folder.chmod(0o755)
    try:
        url = postgres.ensure_database(postgres.start(folder / "postgres"), "retention")
        with started() as provider:
            postmaster = int((folder / "postgres" / "postmaster.pid").read_text().split()[0])
            machine = Machine(psutil.Process(postmaster), psutil.Process(provider.pid))
            settings = from_environment({"RETENTION_DATABASE_URL": url, "RETENTION_LOCAL": str(folder)}).evolve(
                delivery="live",
                workers=options.workers,
                secret="of the benchmark",
                public_url="https://shop.example",
                shop_url="https://shop.example",
                sendgrid_api_key="SG.key",
                sendgrid_host=provider.url,
                provider_timeout=60.0,
            )
            database.migrate(settings)
            plan(settings, "slow", options.one_by_one)
            slowly = settings.evolve(batch_size=1, emails_per_request=1)
            slow, _ = send(slowly, provider, machine, options.one_by_one)
            plan(settings, "fast", options.messages)
            settings = settings.evolve(batch_size=options.batch, emails_per_request=options.per_request)
            fast, used = send(settings, provider, machine, options.messages, options.profile)
    finally:
        postgres.remove(folder / "postgres")
        shutil.rmtree(folder, ignore_errors=True)
    print(
        json.dumps(
            {
                "messages": options.messages,
                "workers": options.workers,
                "batch": options.batch,
                "per_request": options.per_request,
                "messages_per_second": round(fast),
                "one_by_one_per_second": round(slow),
                "ratio": round(fast / slow, 1),
                "processor_microseconds_per_message": used,
            }
        )
    )


if __name__ == "__main__":
    main()
