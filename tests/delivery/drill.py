"""The drill: random faults, kills and events from a seed, and then the question whether the promise held.

    make drill N=2000 SEED=1

One schedule is a shop with a few planned messages, a provider that fails in its own ways, and rounds of one to three
workers, each a process that delivers, dies, is cut off from the database, or delivers again. Between rounds people
unsubscribe, order, withdraw, and operators halt and resume. Then a quiet round, and the ledger is held against what the
provider delivered. Prints a line per seed that failed and a JSON object at the end; a seed reproduces its schedule.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from datetime import time as clock_time
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from checking_provider import FAULTS, Remote, started
from planner import AMSTERDAM, DAY, DEFINITION, MORNING, TEMPLATES
from psycopg.rows import dict_row
from sqlalchemy import Engine, event
from sqlalchemy.exc import OperationalError

from retention import database
from retention.database import run
from retention.delivery import channels, sendgrid_email, twilio_sms
from retention.delivery.deliver import deliver
from retention.local import postgres
from retention.settings import Settings, from_environment

FORK = multiprocessing.get_context("fork")
CAMPAIGNS = ("winback", "thanks")
# name: (channel, offer). hello and again share the coupon that only one of them may need.
STEPS = {"hello": ("email", None), "offer": ("email", "comeback"), "again": ("email", "comeback"),
         "nudge": ("sms", "comeback")}  # fmt: skip
LONG_AGO = datetime(2000, 1, 1, tzinfo=AMSTERDAM)
FINAL = {"accepted", "refused", "skipped", "unknown"}
PAUSES = (timedelta(minutes=5), timedelta(minutes=90), timedelta(days=1, minutes=5))
MOMENTS = 45  # statements, commits and calls of one delivery, about
TABLES = (
    "shop.customers", "shop.consents", "shop.consents_history", "shop.orders", "shop.suppressions",
    "campaigns.versions", "campaigns.enrolments", "campaigns.coupons", "delivery.messages", "delivery.outbox",
    "delivery.halts", "shop.days",
)  # fmt: skip


def templates(dice: random.Random) -> dict[str, str]:
    """The planner's templates, a mail with a coupon, and sometimes a mail above the limit for substitutions."""
    coupon = "{% block subject %}{{ first_name }}, {{ offer_percent }}%{% endblock %}"
    filler = "".join(f"<p>{number} {{{{ first_name }}}}" + "x" * 400 + "</p>\n" for number in range(30))
    body = (
        "{% block text %}{{ coupon_code }} until {{ coupon_expires_at | moment }}\n{{ unsubscribe_url }}{% endblock %}"
        "{% block html %}<b>{{ coupon_code }}</b>" + (filler if dice.random() < 0.2 else "") + "{% endblock %}"
    )
    return TEMPLATES | {"offer.en.j2": coupon + body, "again.en.j2": coupon + body}


class Schedule:
    """One seed: the shop, its faults, its rounds, and what must be true in the end."""

    def __init__(self, seed: int, settings: Settings, provider: Remote) -> None:
        self.dice = random.Random(seed)
        self.seed = seed
        self.provider = provider
        self.is_outbox = self.dice.random() < 0.15
        self.settings = settings.evolve(
            delivery="outbox" if self.is_outbox else "live",
            batch_size=self.dice.choice([1, 3, 7, 20, 500]),
            emails_per_request=self.dice.choice([1, 2, 5, 100]),
        )
        self.engine = database.connect(self.settings)
        self.people: list[dict[str, Any]] = []
        self.messages: list[dict[str, Any]] = []
        self.stops: list[tuple[str, str | None, datetime]] = []  # whom, by which channel, from when
        self.kills = 0
        self.met: dict[str, int] = {}  # faults
        self.ends: dict[str, int] = {}  # states

    def play(self) -> list[str]:
        """What broke the promise, nothing if it held."""
        with psycopg.connect(self.settings.database_url or "", autocommit=True, row_factory=dict_row) as self.shop:
            self.fill()
            at = MORNING
            for _ in range(self.dice.randint(1, 4)):
                after = at + self.dice.choice(PAUSES)
                self.round(at, after)
                at = min(after, MORNING + timedelta(days=2, hours=9))
            self.settle(at)
            return list(self.faults_found())

    # --- before ------------------------------------------------------------------------------------------------------

    def fill(self) -> None:
        dice = self.dice
        self.shop.execute("".join(f"delete from {table};" for table in TABLES))
        number = dice.choice([1, 3, 8, 8, 20])
        for index in range(number):
            ref = f"s{self.seed}c{index}"
            house = dice.choice([ref, ref, ref, f"s{self.seed}house"])
            self.people.append(
                {
                    "ref": ref, "email": f"{house}@mail.example", "phone": f"+316{index:08d}",
                    "first_name": dice.choice(["Ada", "Łucja", "", "Ζωή", "A\nB"]),
                    "language": dice.choice(["en", "en", "pl", "el"]),
                    "arm": "control" if dice.random() < 0.03 else "treated",
                    "campaign": dice.choice(CAMPAIGNS),
                }
            )  # fmt: skip
        self.write_people()
        for campaign in CAMPAIGNS:
            self.shop.execute(
                "insert into campaigns.versions values (%s, 'v1', %s, %s, '', %s)",
                (campaign, json.dumps(DEFINITION | {"campaign": campaign}), json.dumps(templates(dice)), DAY),
            )
        self.write_messages()
        for day in range(6):
            self.shop.execute("insert into shop.days (day, stage, part, state) values (%s, 'orders', 'test', 'done')",
                              (DAY + timedelta(days=day),))  # fmt: skip
        kinds = dice.sample(FAULTS, dice.randint(0, 4))
        if dice.random() < 0.7 and "401" in kinds:  # it ends a round early
            kinds.remove("401")
        bad = dice.sample(self.people, dice.choice([0, 0, 1, 2]) % (number + 1))
        self.provider.begin(
            seed=self.seed, faults={"accept": dice.choice([1, 4, 10])} | dict.fromkeys(kinds, 1),
            resets=dice.choice([0, 0, 0.2]), bad=[each[way] for each in bad for way in ("email", "phone")],
        )  # fmt: skip

    def write_people(self) -> None:
        rows = json.dumps(self.people)
        source = (
            "from (select *, shop.customer_id('test', ref) as customer_id from jsonb_to_recordset(%(rows)s)"
            " as r (ref text, email text, phone text, first_name text, language text, arm text, campaign text)) as r"
        )
        for statement in (
            "insert into shop.customers (customer_id, namespace, customer_ref, email, phone, first_name, language,"
            f" time_zone, updated_at, known_at) select customer_id, 'test', ref, email, phone, first_name, language,"
            f" 'Europe/Amsterdam', %(known)s, %(known)s {source}",
            "insert into shop.consents (customer_id, purpose, channel, is_granted, updated_at, known_at)"
            f" select customer_id, 'marketing', c.channel, true, %(known)s, %(known)s {source}"
            " cross join (values ('email'), ('sms')) as c (channel)",
            "insert into campaigns.enrolments (customer_id, campaign, entry_no, version, arm, entered_on)"
            f" select customer_id, campaign, 1, 'v1', arm, %(day)s {source}",
            "insert into campaigns.coupons (customer_id, campaign, entry_no, offer, code, percent, state, reserved_on)"
            f" select customer_id, campaign, 1, 'comeback', upper(ref), 10, 'reserved', %(day)s {source}",
        ):
            self.shop.execute(statement, {"rows": rows, "known": LONG_AGO, "day": DAY})

    def write_messages(self) -> None:
        for person in self.people:
            for step in self.dice.sample(sorted(STEPS), self.dice.randint(1, len(STEPS))):
                channel, offer = STEPS[step]
                key = sha256(f"{person['ref']} {person['campaign']} 1 {step} {channel}".encode()).hexdigest()[:32]
                self.messages.append(
                    {
                        "key": key, "ref": person["ref"], "campaign": person["campaign"], "step": step,
                        "channel": channel, "offer": offer,
                        "due_at": (MORNING + timedelta(minutes=self.dice.choice([0, 0, 0, 45]))).isoformat(),
                    }
                )  # fmt: skip
        self.shop.execute(
            "insert into delivery.messages (customer_id, message_key, campaign, version, entry_no, step, channel, day,"
            " state, offer, due_at, expires_at, window_start, window_end) select shop.customer_id('test', ref), key,"
            " campaign, 'v1', 1, step, channel, %(day)s, 'planned', offer, due_at, %(expires)s, %(start)s, %(end)s"
            " from jsonb_to_recordset(%(rows)s) as r (key text, ref text, campaign text, step text, channel text,"
            " offer text, due_at timestamptz)",
            {
                "rows": json.dumps(self.messages), "day": DAY, "start": clock_time(9), "end": clock_time(20),
                "expires": (MORNING + timedelta(days=2)).replace(hour=20),
            },
        )  # fmt: skip
        self.shop.execute("delete from campaigns.coupons as p where not exists (select from delivery.messages as m"
                          " where m.customer_id = p.customer_id and m.offer = p.offer)")  # fmt: skip

    # --- rounds ------------------------------------------------------------------------------------------------------

    def round(self, at: datetime, after: datetime) -> None:
        """One to three workers at once; some die at a moment of their own, some are killed or cut off from outside."""
        dice = self.dice
        workers = []
        for _ in range(dice.randint(1, 3)):
            instants = [at] * dice.choice([1, 2]) + [at + timedelta(minutes=dice.choice([0, 3]))]
            dies_at = dice.randrange(MOMENTS) if dice.random() < 0.35 else None
            self.kills += dies_at is not None
            worker = FORK.Process(target=work, args=(self.settings, self.engine, instants, dies_at))
            worker.start()
            workers.append(worker)
        for worker in workers:
            if dice.random() < 0.15:
                self.kills += 1
                time.sleep(dice.uniform(0, 0.1))
                os.kill(worker.pid, signal.SIGKILL)
        if dice.random() < 0.1:
            self.kills += 1
            time.sleep(dice.uniform(0, 0.1))
            self.shop.execute(
                "select pg_terminate_backend(pid) from (select pid from pg_stat_activity where application_name ="
                " 'retention' and datname = current_database() order by random() limit 1) as s"
            )
        self.happen(after)
        for worker in workers:
            worker.join(60)
            if worker.is_alive():
                worker.kill()
                raise TimeoutError("a worker hangs")

    def happen(self, at: datetime) -> None:
        """Something people or operators do while the workers run, known from `at` on: after their last instant."""
        dice = self.dice
        person = dice.choice(self.people)
        who = {"ref": person["ref"], "at": at, "campaign": person["campaign"], "day": DAY}
        what = dice.choice(["unsubscribe", "order", "withdraw", "exit", "halt", "resume", "nothing"])
        if what == "unsubscribe":
            self.shop.execute("insert into shop.suppressions values (shop.customer_id('test', %(ref)s), 'all',"
                              " 'unsubscribed', %(at)s) on conflict do nothing", who)  # fmt: skip
            self.stops.append((person["ref"], None, at))
        elif what == "withdraw":
            self.shop.execute(
                "with old as (select * from shop.consents where customer_id = shop.customer_id('test', %(ref)s)"
                " and channel = 'email' and is_granted), kept as (insert into shop.consents_history"
                " select old.*, %(at)s from old) update shop.consents as c set is_granted = false, known_at = %(at)s"
                " from old where c.customer_id = old.customer_id and c.channel = old.channel", who,
            )  # fmt: skip
            self.stops.append((person["ref"], "email", at))
        elif what == "order":
            self.shop.execute(
                "insert into shop.orders (customer_id, source, order_ref, ordered_at, ordered_on, status, total,"
                " currency, total_reporting, updated_at, known_at) values (shop.customer_id('test', %(ref)s), 'test',"
                " %(order)s, %(at)s, %(on)s, 'complete', 9, 'EUR', 9, %(at)s, %(at)s)",
                who | {"order": f"o{at.isoformat()}{len(self.stops)}", "on": at.date()},
            )  # fmt: skip
            self.stops.append((person["ref"], None, at))
        elif what == "exit":
            self.exit(who)
            self.stops.append((person["ref"], None, at))
        elif what == "halt":
            kind, name = dice.choice([("all", ""), ("channel", "email"), ("channel", "sms"), ("campaign", "winback")])
            self.shop.execute("insert into delivery.halts values (%s, %s) on conflict do nothing", (kind, name))
        elif what == "resume":
            self.shop.execute("delete from delivery.halts")

    def exit(self, who: dict[str, Any]) -> None:
        """The campaign ends the enrolment, as its own exit does. Again where it met a claim crosswise."""
        with contextlib.suppress(OperationalError):
            self._exit(who)
            return
        self._exit(who)

    def _exit(self, who: dict[str, Any]) -> None:
        with self.engine.begin() as connection:
            connection.exec_driver_sql(
                "update campaigns.enrolments set exited_on = %(day)s, exit_reason = 'order'"
                " where customer_id = shop.customer_id('test', %(ref)s) and exited_on is null", who,
            )  # fmt: skip
            run(connection, "campaigns/skip_left_over", campaign=who["campaign"], day=DAY, known_by=who["at"])
            run(connection, "campaigns/void_coupons", campaign=who["campaign"], day=DAY)

    # --- after -------------------------------------------------------------------------------------------------------

    def settle(self, at: datetime) -> None:
        """The dust settles: nothing fails, nothing is halted, and time goes by until every message has expired."""
        self.met = self.provider.report()["met"]
        self.shop.execute("delete from delivery.halts")
        self.provider.calm()
        end = MORNING + timedelta(days=4)
        for instant in (at + timedelta(hours=1), at + timedelta(days=1, minutes=2), end):
            self.quietly(instant)
        self.requests = self.provider.report()["requests"]
        self.quietly(end)

    def summary(self) -> dict[str, int]:
        """What the schedule consisted of, to add up."""
        met = {f"met_{kind}": number for kind, number in self.met.items()}
        return {"messages": len(self.messages), "kills": self.kills} | self.ends | met

    def quietly(self, at: datetime) -> None:
        """Deliver until no dead worker's session lingers in the server."""
        for _ in range(100):
            deliver(self.settings, self.engine, at=at)
            if not self.shop.execute("select from delivery.messages where state = 'attempting'").fetchall():
                return
            time.sleep(0.05)

    def faults_found(self) -> Iterator[str]:
        """Each way in which the ledger, the provider and the promise disagree."""
        ledger = {row["message_key"]: row for row in self.shop.execute("select * from delivery.messages").fetchall()}
        self.ends = dict(Counter(row["state"] for row in ledger.values()))
        report = self.provider.report()
        deliveries = Counter(key for key, _ in report["deliveries"])
        recipients: dict[str, str] = dict(report["deliveries"])
        if self.is_outbox:
            stored = self.shop.execute("select message_key, recipient from delivery.outbox").fetchall()
            deliveries = Counter(row["message_key"] for row in stored)
            recipients = {row["message_key"]: row["recipient"] for row in stored}
        people = {each["ref"]: each for each in self.people}
        yield from (f"the provider refuses: {each}" for each in report["violations"])
        if report["requests"] != self.requests:
            yield "something was sent again when all was settled"
        if set(ledger) != {each["key"] for each in self.messages} or set(deliveries) - set(ledger):
            yield "messages came or went"
        for message in self.messages:
            key, row = message["key"], ledger[message["key"]]
            name = f"{message['ref']} {message['step']} ({row['state']}, {row['reason']})"
            person = people[message["ref"]]
            if deliveries[key] > 1:
                yield f"DUPLICATE: {name} delivered {deliveries[key]} times"
            if row["state"] not in FINAL:
                yield f"LOST: {name}"
            if deliveries[key] and row["state"] not in ("accepted", "unknown"):
                yield f"delivered, but the ledger says otherwise: {name}"
            if row["state"] == "accepted" and not deliveries[key]:
                yield f"LOST: accepted, but never delivered: {name}"
            if deliveries[key] and recipients[key] != person["email" if message["channel"] == "email" else "phone"]:
                yield f"to somebody else: {name}"
            if deliveries[key] and person["arm"] == "control":
                yield f"control: {name}"
            if row["reason"] == "worker_died" and not self.kills:
                yield f"taken for dead, but nobody died: {name}"
            if row["state"] == "unknown" and self.is_outbox:
                yield f"unknown in the outbox: {name}"
        yield from self.sent_after_stop(ledger)
        yield from self.odd_coupons()

    def sent_after_stop(self, ledger: dict[str, dict[str, Any]]) -> Iterator[str]:
        for message in self.messages:
            row = ledger[message["key"]]
            for ref, channel, at in self.stops:
                if message["ref"] != ref or channel not in (None, message["channel"]) or row["state"] == "skipped":
                    continue
                if row["attempted_at"] and row["attempted_at"] >= at:
                    yield f"claimed after a stop: {ref} {message['step']} ({row['state']}, {row['reason']})"

    def odd_coupons(self) -> Iterator[str]:
        """A coupon is issued if somebody may have it, else void."""
        rows = self.shop.execute(
            "select p.code, p.state, p.expires_at, bool_or(m.state in ('accepted', 'unknown')) as is_out"
            " from campaigns.coupons as p join delivery.messages as m on m.customer_id = p.customer_id"
            " and m.campaign = p.campaign and m.offer = p.offer group by p.code, p.state, p.expires_at"
        ).fetchall()
        for row in rows:
            if row["state"] != ("issued" if row["is_out"] else "void"):
                yield f"coupon {row['code']} is {row['state']}, though {'' if row['is_out'] else 'not '}sent"


# --- workers ---------------------------------------------------------------------------------------------------------


def work(settings: Settings, engine: Engine, instants: list[datetime], dies_at: int | None) -> None:
    """A worker's process: deliver at each instant; what fails is tried again, as a task would be."""
    if dies_at is not None:
        die_at(engine, dies_at)
    for at in instants:
        try:
            deliver(settings, engine, at=at)
        except Exception:  # a lost session, a deadlock: the next try is another delivery
            logging.getLogger("drill").debug("a delivery failed", exc_info=True)
    os._exit(0)


def die_at(engine: Engine, moment: int) -> None:
    """Kill this process for real before its statement, commit or call number `moment`, or right after it."""
    left = moment

    def tick(*_: Any, **__: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    for name in ("before_cursor_execute", "after_cursor_execute", "commit"):
        event.listen(engine, name, tick)

    def around(owner: type, name: str) -> None:
        call = getattr(owner, name)

        def ticking(*arguments: Any) -> Any:
            tick()
            answer = call(*arguments)
            tick()
            return answer

        setattr(owner, name, ticking)

    around(sendgrid_email.SendgridEmail, "_post")
    around(twilio_sms.TwilioSms, "_create")


# --- all of it -------------------------------------------------------------------------------------------------------


def live(url: str, provider: Remote, folder: Path) -> Settings:
    """Settings for live delivery to the provider."""
    return from_environment({"RETENTION_DATABASE_URL": url, "RETENTION_LOCAL": str(folder)}).evolve(
        secret="a secret of our own", public_url="https://shop.example", shop_url="https://shop.example",
        sendgrid_api_key="SG.key", sendgrid_host=provider.url, twilio_account_sid="AC" + "1" * 32,
        twilio_auth_token="token", twilio_base_url=provider.url, twilio_from="+31600000000", provider_timeout=0.3,
    )  # fmt: skip


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

    def again(reason: str) -> channels.Outcome:
        return channels.retry(reason, timedelta(seconds=1))

    sendgrid_email.unknown = twilio_sms.unknown = again  # type: ignore[assignment]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--schedules", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1, help="the first one; the others follow")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--server", help="the URL of a PostgreSQL server without a database; else a throw-away one")
    parser.add_argument("--broken", action="store_true", help="send again what timed out: the drill must fail")
    options = parser.parse_args()
    if options.broken:
        break_on_purpose()
    folder = Path(tempfile.mkdtemp(prefix="retention-drill-"))
    folder.chmod(0o755)
    server = options.server or postgres.start(folder / "postgres", fsync=False)
    try:
        return drill(options, server, folder)
    finally:
        if not options.server:
            postgres.remove(folder / "postgres")
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
