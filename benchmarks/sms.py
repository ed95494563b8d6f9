"""Send N texts of a real campaign through the official client to a server on this machine that takes its time.

    .venv/bin/python benchmarks/sms.py --messages 3000

The customers are as `winback` enrols them: four languages, a coupon each. The server answers after --latency
milliseconds (50, as one continent away), so what counts is how many calls are under way. First one worker calls one
after the other (RETENTION_SMS_AT_ONCE=1), then, in the same run, the same worker with the setting's default. Prints one
JSON object: messages a second of both, the ratio, and the worker's processor time for a message, which a busy machine
changes little. The server counts who got what; the run fails if anybody got two or none.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "delivery"))

from checking_provider import Remote, started

from delivery import AT, plan
from retention.core import database
from retention.core.clock import Stopped
from retention.core.settings import Settings, from_environment
from retention.core.shop import Shop
from retention.delivery.channels import twilio_sms  # noqa: F401  (imported before the clock runs)
from retention.delivery.worker import deliver
from retention.local import postgres

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
        (customer_id, namespace, customer_ref, phone, first_name, language, country, updated_at, known_at)
    select customer_id, 'benchmark', ref, '+316' || lpad(n::text, 8, '0'), 'Ada' || n %% 1000, language, 'NL',
        %(long_ago)s, %(long_ago)s
    from people
),

consents as (
    insert into shop.consents (customer_id, purpose, channel, is_granted, updated_at, known_at)
    select customer_id, 'marketing', 'sms', true, %(long_ago)s, %(long_ago)s from people
),

enrolments as (
    insert into campaigns.enrolments (customer_id, campaign, entry_no, version, arm, entered_on)
    select customer_id, 'winback', 1, %(version)s, 'treated', %(day)s from people
),

coupons as (
    insert into offers.coupons (customer_id, campaign, entry_no, offer, code, percent, state, reserved_on)
    select customer_id, 'winback', 1, 'comeback', upper(ref), 10, 'reserved', %(day)s from people
)

insert into delivery.messages (customer_id, message_key, campaign, version, entry_no, step, channel, day, state, offer,
    due_at, expires_at, window_start, window_end)
select customer_id, md5(ref), 'winback', %(version)s, 1, 'nudge', 'sms', %(day)s, 'planned', 'comeback',
    %(at)s - interval '1 hour', %(at)s + interval '2 days', '09:00', '20:00'
from people
"""


def send(settings: Settings, provider: Remote, number: int, latency: float) -> tuple[float, float]:
    """Messages a second, and the processor seconds of this process, until all are sent."""
    provider.begin(latency=latency)
    engine = database.connect(settings)
    used, begun = time.process_time(), time.perf_counter()
    counts = deliver(Shop(settings, engine, Stopped(AT))).counts()
    seconds, used = time.perf_counter() - begun, time.process_time() - used
    report = provider.report()
    got = Counter(key for key, _ in report["deliveries"])
    if report["violations"] or len(got) != number or set(got.values()) != {1}:
        raise SystemExit(f"{len(got)} of {number} texts arrived: {counts}, {report['violations'][:3]}.")
    return number / seconds, used


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--messages", type=int, default=3_000)
    parser.add_argument("--one-by-one", type=int, default=100, help="messages of the other run")
    parser.add_argument("--at-once", type=int, help="RETENTION_SMS_AT_ONCE (default: the setting's)")
    parser.add_argument("--latency", type=float, default=50, help="milliseconds until the server answers")
    options = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    folder = Path(tempfile.mkdtemp(prefix="retention-benchmark-"))
    folder.chmod(0o755)
    try:
        url = postgres.ensure_database(postgres.start(folder / "postgres"), "retention")
        with started() as provider:
            settings = from_environment({"RETENTION_DATABASE_URL": url, "RETENTION_LOCAL": str(folder)}).evolve(
                delivery="live",
                secret="of the benchmark",
                public_url="https://shop.example",
                shop_url="https://shop.example",
                twilio_account_sid="AC" + "1" * 32,
                twilio_auth_token="token",
                twilio_base_url=provider.url,
                twilio_from="+31600000000",
                provider_timeout=60.0,
            )
            at_once = options.at_once or settings.sms_at_once
            database.migrate(settings)
            plan(settings, "slow", options.one_by_one, PLAN)
            slow, _ = send(settings.evolve(sms_at_once=1), provider, options.one_by_one, options.latency / 1000)
            plan(settings, "fast", options.messages, PLAN)
            fast, used = send(settings.evolve(sms_at_once=at_once), provider, options.messages, options.latency / 1000)
    finally:
        postgres.remove(folder / "postgres")
        shutil.rmtree(folder, ignore_errors=True)
    print(
        json.dumps(
            {
                "messages": options.messages,
                "at_once": at_once,
                "latency_ms": options.latency,
                "messages_per_second": round(fast),
                "one_by_one_per_second": round(slow, 1),
                "ratio": round(fast / slow, 1),
                "processor_microseconds_per_message": round(used / options.messages * 1e6),
            }
        )
    )


if __name__ == "__main__":
    main()
