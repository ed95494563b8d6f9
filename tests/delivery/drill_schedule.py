"""One schedule of the drill: a small shop, what its seed lets happen to it, and what must be true in the end."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from datetime import time as clock_time
from hashlib import sha256
from pathlib import Path
from typing import Any

import drill_workers as workers
import psycopg
from checking_provider import FAULTS, Remote
from psycopg.rows import dict_row
from sqlalchemy.exc import OperationalError

from planner import AMSTERDAM, DAY, DEFINITION, MORNING, TEMPLATES
from retention.campaigns import approvals, definitions, sends
from retention.core import database
from retention.core.clock import Stopped
from retention.core.database import run
from retention.core.errors import StateError
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.delivery.operations import proof, unknown
from retention.delivery.worker import deliver
from retention.ledger import caps
from shop import small_include

CAMPAIGNS = ("winback", "thanks")
# name: (channel, offer). hello and again share the coupon that only one of them may need.
STEPS = {
    "hello": ("email", None),
    "offer": ("email", "comeback"),
    "again": ("email", "comeback"),
    "nudge": ("sms", "comeback"),
}
# What a version may say of its steps, as campaigns.versions keeps it.
RULES = {
    "again": {"conditions": [{"clause": "unless", "what": "clicked", "name": "hello"}]},
    "nudge": {"conditions": [{"clause": "unless", "what": "clicked", "name": None}], "fallback": "email"},
    "offer": {"conditions": [{"clause": "only_if", "what": "reachable", "name": "email"}]},
}
# A campaign of the project, and another of its group: people of their own enter them once somebody approves it.
BY_HAND, TWIN = "lapsed_30_days", "lapsed_30_days_too"
GROUP = "friends"
ADDRESS = {"email": "email", "sms": "phone"}
LONG_AGO = datetime(2000, 1, 1, tzinfo=AMSTERDAM)
TAKEN = {"accepted", "delivered", "bounced"}  # the provider has it
FINAL = TAKEN | {"refused", "skipped", "unknown"}
PAUSES = (timedelta(minutes=5), timedelta(minutes=90), timedelta(days=1, minutes=5))
MOMENTS = 45  # statements, commits and calls of one delivery, about
TABLES = (
    "shop.customers",
    "shop.consents",
    "shop.consents_history",
    "shop.orders",
    "shop.suppressions",
    "shop.engagement",
    "shop.changes",
    "campaigns.versions",
    "campaigns.enrolments",
    "campaigns.sends",
    "campaigns.send_members",
    "campaigns.approvals",
    "campaigns.candidates",
    "offers.coupons",
    "delivery.messages",
    "delivery.outbox",
    "delivery.halts",
    "delivery.restores",
    "delivery.decisions",
    "events.received",
    "shop.days",
)
COPIED = (
    "campaigns.versions",
    "campaigns.enrolments",
    "campaigns.sends",
    "campaigns.send_members",
    "campaigns.approvals",
    "campaigns.candidates",
    "offers.coupons",
    "delivery.messages",
    "delivery.decisions",
    "events.received",
)  # backed up


def write_group(include: Path) -> None:
    """The project's files in the folder `include`, with BY_HAND and TWIN in one group."""
    small_include(include)
    file = include / "campaigns" / f"{BY_HAND}.yaml"
    written = file.read_text().replace("status: live", f"status: live\ngroup: {GROUP}")
    file.write_text(written)
    file.with_stem(TWIN).write_text(written.replace(f"campaign: {BY_HAND}", f"campaign: {TWIN}"))
    shutil.copytree(include / "messages" / BY_HAND, include / "messages" / TWIN)


def templates(dice: random.Random) -> dict[str, str]:
    """The planner's templates, a mail with a coupon, and sometimes a mail above the limit for substitutions."""
    coupon = "{% block subject %}{{ first_name }}, {{ offer_percent }}%{% endblock %}"
    filler = "".join(f"<p>{number} {{{{ first_name }}}}" + "x" * 400 + "</p>\n" for number in range(30))
    body = (
        "{% block text %}{{ coupon_code }} until {{ coupon_expires_at | moment }}\n{{ unsubscribe_url }}{% endblock %}"
        "{% block html %}<b>{{ coupon_code }}</b>" + (filler if dice.random() < 0.2 else "") + "{% endblock %}"
    )
    mails = dict.fromkeys(("offer.en.j2", "again.en.j2", "nudge.email.en.j2"), coupon + body)
    return TEMPLATES | mails | {"hello.loud.en.j2": TEMPLATES["hello.en.j2"].replace("Hello", "HELLO")}


class Schedule:
    """One seed: the shop, its faults, its rounds, and what must be true in the end."""

    def __init__(self, seed: int, settings: Settings, provider: Remote) -> None:
        self.dice = random.Random(seed)
        self.seed = seed
        self.provider = provider
        self.is_outbox = self.dice.random() < 0.15
        self.is_deaf = self.is_outbox or self.dice.random() < 0.3  # no webhook ever comes
        self.settings = settings.evolve(
            delivery="outbox" if self.is_outbox else "live",
            batch_size=self.dice.choice([1, 3, 7, 20, 500]),
            emails_per_request=self.dice.choice([1, 2, 5, 100]),
        )
        self.engine = database.connect(self.settings)
        self.people: list[dict[str, Any]] = []
        self.by_hand: list[dict[str, Any]] = []  # who is in the send by hand, waits for approval, or both
        self.approvals: list[tuple[workers.Approve, str]] = []  # what somebody has to approve
        self.messages: list[dict[str, Any]] = []
        self.stops: list[tuple[str, str | None, datetime]] = []  # whom, by which channel, from when
        self.exits: list[tuple[str, str | None, datetime]] = []  # the same by a campaign's own exit
        self.clicks: list[tuple[str, str, datetime]] = []  # who, on a message of which step, from when
        self.backup_at: datetime | None = None
        self.kills = 0
        self.restores = 0
        self.decisions = 0
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
                self.look_after(at)
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
                    "ref": ref,
                    "email": f"{house}@mail.example",
                    "phone": f"+316{index:08d}",
                    "first_name": dice.choice(["Ada", "Łucja", "", "Ζωή", "A\nB"]),
                    "language": dice.choice(["en", "en", "pl", "el"]),
                    "arm": "control" if dice.random() < 0.03 else "treated",
                    "campaign": dice.choice(CAMPAIGNS),
                    "channels": dice.choice([["email", "sms"]] * 4 + [["email"]]),
                }
            )
        if dice.random() < 0.5:
            self.by_hand = [
                {**self.people[0], "ref": f"s{self.seed}h{index}", "email": f"h{index}@mail.example", "phone": None}
                | {"campaign": BY_HAND, "arm": "treated"}
                for index in range(dice.choice([1, 3, 8]))
            ]
        self.write_people()
        self.write_approvals()
        for campaign in CAMPAIGNS:
            self.shop.execute(
                "insert into campaigns.versions (campaign, version, definition, templates, selection_sql,"
                " first_used_on, rules) values (%s, 'v1', %s, %s, '', %s, %s)",
                (
                    campaign,
                    json.dumps(DEFINITION | {"campaign": campaign}),
                    json.dumps(templates(dice)),
                    DAY,
                    json.dumps(RULES if dice.random() < 0.5 else {}),
                ),
            )
        self.write_messages()
        for day in range(6):
            self.shop.execute(
                "insert into shop.days (day, stage, part, state) values (%s, 'orders', 'test', 'done')",
                (DAY + timedelta(days=day),),
            )
        kinds = dice.sample(FAULTS, dice.randint(0, 4))
        if dice.random() < 0.7 and "401" in kinds:  # it ends a round early
            kinds.remove("401")
        bad = dice.sample(self.people, dice.choice([0, 0, 1, 2]) % (number + 1))
        self.provider.begin(
            seed=self.seed,
            faults={"accept": dice.choice([1, 4, 10])} | dict.fromkeys(kinds, 1),
            resets=dice.choice([0, 0, 0.2]),
            bad=[each[way] for each in bad for way in ("email", "phone")],
        )

    def write_people(self) -> None:
        rows = json.dumps([*self.people, *self.by_hand])
        source = (
            "from (select *, shop.customer_id('test', ref) as customer_id from jsonb_to_recordset(%(rows)s)"
            " as r (ref text, email text, phone text, first_name text, language text, arm text, campaign text,"
            " channels jsonb)) as r"
        )
        enrolled = f"{source} where campaign <> '{BY_HAND}'"
        for statement in (
            "insert into shop.customers (customer_id, namespace, customer_ref, email, phone, first_name, language,"
            f" time_zone, updated_at, known_at) select customer_id, 'test', ref, email, phone, first_name, language,"
            f" 'Europe/Amsterdam', %(known)s, %(known)s {source}",
            "insert into shop.consents (customer_id, purpose, channel, is_granted, updated_at, known_at)"
            f" select customer_id, 'marketing', c.channel, true, %(known)s, %(known)s {source}"
            " cross join (values ('email'), ('sms')) as c (channel) where r.channels ? c.channel",
            "insert into campaigns.enrolments (customer_id, campaign, entry_no, version, arm, entered_on)"
            f" select customer_id, campaign, 1, 'v1', arm, %(day)s {enrolled}",
            "insert into offers.coupons (customer_id, campaign, entry_no, offer, code, percent, state, reserved_on)"
            f" select customer_id, campaign, 1, 'comeback', upper(ref), 10, 'reserved', %(day)s {enrolled}",
        ):
            self.shop.execute(statement, {"rows": rows, "known": LONG_AGO, "day": DAY})

    def write_approvals(self) -> None:
        """A send by hand, and an enrolment in the other campaign, that wait for approval: some are asked for both."""
        now, expires = MORNING, MORNING + timedelta(days=9)
        if sent := [each for index, each in enumerate(self.by_hand) if index % 3 != 1]:
            version = definitions.read(self.settings.include, BY_HAND).version
            send_id = f"{BY_HAND}-{self.seed}"
            self.shop.execute(
                "insert into campaigns.sends (send_id, campaign, version, day, send_on, asked, frozen_at, expires_at)"
                " values (%s, %s, %s, %s, %s, '{}', %s, %s)",
                (send_id, BY_HAND, version, DAY, DAY + timedelta(days=1), now, expires),
            )
            self.shop.execute(
                "insert into campaigns.send_members (customer_id, send_id)"
                " select shop.customer_id('test', r), %s from unnest(cast(%s as text[])) as r",
                (send_id, [each["ref"] for each in sent]),
            )
            self.approvals.append((sends.approve, send_id))
        if waiting := [each for index, each in enumerate(self.by_hand) if index % 3 != 0]:
            version = definitions.read(self.settings.include, TWIN).version
            approval_id = f"{TWIN}-{DAY}-1"
            self.shop.execute(
                "insert into campaigns.approvals (approval_id, campaign, day, version, why, customers, entered_change,"
                " state, asked_at, expires_at) values (%s, %s, %s, %s, 'first_launch', %s, 0, 'waiting', %s, %s)",
                (approval_id, TWIN, DAY, version, len(waiting), now, expires),
            )
            self.shop.execute(
                "insert into campaigns.candidates (customer_id, approval_id, campaign, group_name)"
                " select shop.customer_id('test', r), %s, %s, %s from unnest(cast(%s as text[])) as r",
                (approval_id, TWIN, GROUP, [each["ref"] for each in waiting]),
            )
            self.approvals.append((approvals.approve, approval_id))

    def write_messages(self) -> None:
        for person in self.people:
            for step in self.dice.sample(sorted(STEPS), self.dice.randint(1, len(STEPS))):
                channel, offer = STEPS[step]
                key = sha256(f"{person['ref']} {person['campaign']} 1 {step} {channel}".encode()).hexdigest()[:32]
                self.messages.append(
                    {
                        "key": key,
                        "ref": person["ref"],
                        "campaign": person["campaign"],
                        "step": step,
                        "channel": channel,
                        "offer": offer,
                        "variant": self.dice.choice([None, "loud"]) if step == "hello" else None,
                        "due_at": (MORNING + timedelta(minutes=self.dice.choice([0, 0, 0, 45]))).isoformat(),
                    }
                )
        self.shop.execute(
            "insert into delivery.messages (customer_id, message_key, campaign, version, entry_no, step, channel, day,"
            " state, offer, variant, due_at, expires_at, window_start, window_end) select"
            " shop.customer_id('test', ref), key, campaign, 'v1', 1, step, channel, %(day)s, 'planned', offer, variant,"
            " due_at, %(expires)s, %(start)s, %(end)s from jsonb_to_recordset(%(rows)s) as r (key text, ref text,"
            " campaign text, step text, channel text, offer text, variant text, due_at timestamptz)",
            {
                "rows": json.dumps(self.messages),
                "day": DAY,
                "start": clock_time(9),
                "end": clock_time(20),
                "expires": (MORNING + timedelta(days=2)).replace(hour=20),
            },
        )
        self.shop.execute(
            "delete from offers.coupons as p where not exists (select from delivery.messages as m"
            " where m.customer_id = p.customer_id and m.offer = p.offer)"
        )

    # --- rounds ------------------------------------------------------------------------------------------------------

    def round(self, at: datetime, after: datetime) -> None:
        """One to three workers at once; some die at a moment of their own, some are killed or cut off from outside."""
        dice = self.dice
        crew = []
        for _ in range(dice.randint(1, 3)):
            instants = [at] * dice.choice([1, 2]) + [at + timedelta(minutes=dice.choice([0, 3]))]
            crew.append(workers.started(workers.delivering, self.engine, self.moment(0.35), self.settings, instants))
        for approval in self.approvals:
            for _ in range(dice.choice([0, 0, 1, 1, 2])):
                crew.append(
                    workers.started(workers.approving, self.engine, self.moment(0.5), self.settings, *approval, at)
                )
        if not self.is_deaf and dice.random() < 0.6:
            what = (self.settings, self.provider, self.seed, self.ids(), after)
            crew.append(workers.started(workers.reporting, self.engine, self.moment(0.2), *what))
        if self.backup_at is None and not self.is_outbox and dice.random() < 0.25:
            self.back_up(at)
        for worker in crew:
            if dice.random() < 0.15:
                self.kills += 1
                time.sleep(dice.uniform(0, 0.1))
                worker.kill()
        if dice.random() < 0.1:
            self.kills += 1
            time.sleep(dice.uniform(0, 0.1))
            self.shop.execute(
                "select pg_terminate_backend(pid) from (select pid from pg_stat_activity where application_name ="
                " 'retention' and datname = current_database() order by random() limit 1) as s"
            )
        self.happen(after)
        for worker in crew:
            worker.join(60)
            if worker.is_alive():
                worker.kill()
                raise TimeoutError("a worker hangs")

    def moment(self, share: float) -> int | None:
        """The moment at which a process dies, for this share of them."""
        dies_at = self.dice.randrange(MOMENTS) if self.dice.random() < share else None
        self.kills += dies_at is not None
        return dies_at

    def ids(self) -> dict[str, int]:
        """Whose message it is, by key."""
        found = self.shop.execute("select message_key, customer_id from delivery.messages").fetchall()
        return {row["message_key"]: row["customer_id"] for row in found}

    def back_up(self, at: datetime) -> None:
        """A copy of what may be lost, as it stands at one moment in the middle of a round."""
        self.backup_at = at
        with self.shop.transaction():
            self.shop.execute("set transaction isolation level repeatable read")
            for table in COPIED:
                self.shop.execute(f"create table if not exists drill_{table.replace('.', '_')} (like {table})")
                self.shop.execute(f"delete from drill_{table.replace('.', '_')}")
                self.shop.execute(f"insert into drill_{table.replace('.', '_')} select * from {table}")

    def look_after(self, at: datetime) -> None:
        """Between rounds, an operator: goes back to the backup, or decides about what is unknown."""
        dice = self.dice
        if self.backup_at is not None and dice.random() < 0.5:
            with self.shop.transaction():
                for table in COPIED:
                    self.shop.execute(f"delete from {table}")
                    self.shop.execute(f"insert into {table} select * from drill_{table.replace('.', '_')}")
            unknown.restored(Shop(self.settings, self.engine), self.backup_at, at=at)
            self.exits = [each for each in self.exits if each[2] <= self.backup_at]
            self.clicks = [each for each in self.clicks if each[2] <= self.backup_at]
            self.restores += 1
            self.backup_at = None
        if dice.random() < 0.3 and not self.is_outbox:
            delivered = self.delivered()
            for row in unknown.unknown(Shop(self.settings, self.engine), at=at)[:3]:
                key = row["message_key"]
                with contextlib.suppress(StateError):  # too late, or evidence was quicker
                    unknown.settle(
                        Shop(self.settings, self.engine), key, "sent" if key in delivered else "again", "drill", at
                    )
                    self.decisions += 1

    def happen(self, at: datetime) -> None:
        """Something people or operators do while the workers run, known from `at` on: after their last instant."""
        dice = self.dice
        person = dice.choice(self.people)
        who = {"ref": person["ref"], "at": at, "campaign": person["campaign"], "day": DAY}
        what = dice.choice(["unsubscribe", "order", "withdraw", "exit", "click", "halt", "resume", "nothing"])
        if what == "unsubscribe":
            self.shop.execute(
                "insert into shop.suppressions values (shop.customer_id('test', %(ref)s), 'all',"
                " 'unsubscribed', %(at)s) on conflict do nothing",
                who,
            )
            self.stops.append((person["ref"], None, at))
        elif what == "withdraw":
            self.shop.execute(
                "with old as (select * from shop.consents where customer_id = shop.customer_id('test', %(ref)s)"
                " and channel = 'email' and is_granted), kept as (insert into shop.consents_history"
                " select old.*, %(at)s from old) update shop.consents as c set is_granted = false, known_at = %(at)s"
                " from old where c.customer_id = old.customer_id and c.channel = old.channel",
                who,
            )
            self.stops.append((person["ref"], "email", at))
        elif what == "order":
            self.shop.execute(
                "insert into shop.orders (customer_id, source, order_ref, ordered_at, ordered_on, status, total,"
                " currency, total_reporting, updated_at, known_at) values (shop.customer_id('test', %(ref)s), 'test',"
                " %(order)s, %(at)s, %(on)s, 'complete', 9, 'EUR', 9, %(at)s, %(at)s)",
                who | {"order": f"o{at.isoformat()}{len(self.stops)}", "on": at.date()},
            )
            self.stops.append((person["ref"], None, at))
        elif what == "exit":
            self.exit(who)
            self.exits.append((person["ref"], None, at))
        elif what == "click":
            clicked = self.shop.execute(
                "update delivery.messages set human_clicked_at = %(at)s where human_clicked_at is null"
                " and customer_id = shop.customer_id('test', %(ref)s) and state in ('accepted', 'delivered')"
                " returning step",
                who,
            ).fetchall()
            self.clicks += [(person["ref"], row["step"], at) for row in clicked]
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
                " where customer_id = shop.customer_id('test', %(ref)s) and exited_on is null",
                who,
            )
            run(connection, "ledger/skip_left_over", campaign=who["campaign"], day=DAY, known_by=who["at"])
            run(connection, "offers/void_coupons", campaign=who["campaign"], day=DAY)

    # --- after -------------------------------------------------------------------------------------------------------

    def settle(self, at: datetime) -> None:
        """The dust settles: nothing fails, nothing is halted, and time goes by until every message has expired."""
        self.met = self.provider.report()["met"]
        self.shop.execute("delete from delivery.halts")
        self.provider.calm()
        for approve, what in self.approvals:
            approve(Shop(self.settings, self.engine), what, "drill", at)
        end = MORNING + timedelta(days=4)
        for instant in (at + timedelta(hours=1), at + timedelta(days=1, minutes=2), end):
            self.quietly(instant)
            if not self.is_deaf:
                what = (self.settings, self.provider, self.seed, self.ids(), instant, self.dice)
                workers.report(self.engine, *what)
        self.requests = self.provider.report()["requests"]
        self.quietly(end)

    def summary(self) -> dict[str, int]:
        """What the schedule consisted of, to add up."""
        met = {f"met_{kind}": number for kind, number in self.met.items()}
        did = {"kills": self.kills, "restores": self.restores, "decisions": self.decisions}
        return {"messages": len(self.messages)} | did | self.ends | met

    def delivered(self) -> Counter[str]:
        """How many times the provider delivered each key."""
        return Counter(key for key, _ in self.provider.report()["deliveries"])

    def quietly(self, at: datetime) -> None:
        """Deliver until no dead worker's session lingers in the server."""
        for _ in range(100):
            deliver(Shop(self.settings, self.engine, Stopped(at)))
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
        yield from self.wrong_by_hand(ledger)
        people = {each["ref"]: each for each in [*self.people, *self.by_hand]}
        yield from (f"the provider refuses: {each}" for each in report["violations"])
        if report["requests"] != self.requests:
            yield "something was sent again when all was settled"
        # After a restore somebody may have entered the other campaign of the group; their first message is forgotten.
        forgotten = {each["email"] for each in self.by_hand} if self.restores else set[str]()
        gone = {key for key in set(deliveries) - set(ledger) if recipients[key] not in forgotten}
        if set(ledger) != {each["key"] for each in self.messages} or gone:
            yield "messages came or went"
        for message in self.messages:
            key, row = message["key"], ledger[message["key"]]
            name = f"{message['ref']} {message['step']} ({row['state']}, {row['reason']})"
            person = people[message["ref"]]
            if deliveries[key] > 1:
                yield f"DUPLICATE: {name} delivered {deliveries[key]} times"
            if row["state"] not in FINAL:
                yield f"LOST: {name}"
            # What was approved after the backup is planned anew: nobody knows that it had gone out.
            is_forgotten = message["campaign"] in (BY_HAND, TWIN) and self.restores > 0
            if deliveries[key] and row["state"] not in TAKEN | {"unknown"} and not is_forgotten:
                yield f"delivered, but the ledger says otherwise: {name}"
            if (
                deliveries[key]
                and not self.is_deaf
                and row["state"] not in ("delivered", "bounced")
                and not is_forgotten
            ):
                yield f"reported, but the ledger has not heard: {name}"
            if row["state"] in TAKEN and not deliveries[key]:
                yield f"LOST: accepted, but never delivered: {name}"
            channels = {row["channel"], *(["email", "sms"] if self.restores else [])}  # by which it went is forgotten
            if deliveries[key] and recipients[key] not in {person[ADDRESS[channel]] for channel in channels}:
                yield f"to somebody else: {name}"
            if deliveries[key] and person["arm"] == "control":
                yield f"control: {name}"
            if row["reason"] == "worker_died" and not self.kills and not self.restores:
                yield f"taken for dead, but nobody died: {name}"
            if row["state"] == "unknown" and self.is_outbox:
                yield f"unknown in the outbox: {name}"
        yield from self.sent_after_stop(ledger)
        yield from self.sent_after_click(ledger)
        yield from self.beyond_caps(deliveries, ledger)
        yield from self.odd_coupons()
        for promise, number in proof.prove(Shop(self.settings, self.engine), at=MORNING + timedelta(days=4)).items():
            if number and promise != "control_messaged":  # a message of the control arm is planned here on purpose
                yield f"the proof finds {promise} {number} times"

    def sent_after_stop(self, ledger: dict[str, dict[str, Any]]) -> Iterator[str]:
        restores = {row["claim"] for row in self.shop.execute("select claim from delivery.restores").fetchall()}
        for message in self.messages:
            row = ledger[message["key"]]
            if row["claim"] in restores:  # its attempted_at says when the restore was
                continue
            for ref, channel, at in self.stops + self.exits:
                if message["ref"] != ref or channel not in (None, row["channel"]) or row["state"] == "skipped":
                    continue
                if row["attempted_at"] and row["attempted_at"] >= at:
                    yield f"claimed after a stop: {ref} {message['step']} ({row['state']}, {row['reason']})"

    def sent_after_click(self, ledger: dict[str, dict[str, Any]]) -> Iterator[str]:
        """Steps with a condition are not sent once a person has clicked what the condition names."""
        rules = {
            row["campaign"]: row["rules"]
            for row in self.shop.execute("select campaign, rules from campaigns.versions").fetchall()
        }
        restores = {row["claim"] for row in self.shop.execute("select claim from delivery.restores").fetchall()}
        for message in self.messages:
            row = ledger[message["key"]]
            for asked in rules[row["campaign"]].get(row["step"], {}).get("conditions", ()):
                if asked["what"] != "clicked" or row["state"] not in TAKEN | {"unknown"} or row["claim"] in restores:
                    continue
                clicks = [
                    at for ref, step, at in self.clicks if ref == message["ref"] and asked["name"] in (None, step)
                ]
                if any(at < row["attempted_at"] for at in clicks):
                    yield f"sent although clicked: {message['ref']} {row['step']}"

    def wrong_by_hand(self, ledger: dict[str, dict[str, Any]]) -> Iterator[str]:
        """Who was to enter by an approval is in one campaign, once; who of them is treated has their one message."""
        enrolled = self.shop.execute(
            "select c.customer_ref as ref, e.entry_no, e.arm, e.customer_id from campaigns.enrolments as e"
            " join shop.customers as c using (customer_id) where e.campaign in (%s, %s)",
            (BY_HAND, TWIN),
        ).fetchall()
        if sorted(row["ref"] for row in enrolled) != sorted(each["ref"] for each in self.by_hand):
            yield "an approval let others in, or somebody twice or never"
        arms = {row["customer_id"]: row for row in enrolled}
        keys = {key: row for key, row in ledger.items() if row["campaign"] in (BY_HAND, TWIN)}
        treated = sorted(number for number, row in arms.items() if row["arm"] == "treated")
        if sorted(row["customer_id"] for row in keys.values()) != treated:
            yield "those who were let in and are treated have not one message each"
        self.messages += [
            {
                "key": key,
                "ref": arms[row["customer_id"]]["ref"],
                **{name: row[name] for name in ("campaign", "step", "channel")},
            }
            for key, row in keys.items()
            if row["customer_id"] in arms
        ]

    def beyond_caps(self, deliveries: Counter[str], ledger: dict[str, dict[str, Any]]) -> Iterator[str]:
        """A schedule is shorter than the windows of the caps, so all that anybody got counts."""
        for cap in caps.read(self.settings.include):
            got = Counter(
                each["ref"]
                for each in self.messages
                if deliveries[each["key"]] and cap.channel in ("all", ledger[each["key"]]["channel"])
            )
            yield from (f"beyond {cap}: {ref} got {number}" for ref, number in got.items() if number > cap.at_most)

    def odd_coupons(self) -> Iterator[str]:
        """A coupon is issued if somebody may have it, else void."""
        rows = self.shop.execute(
            "select p.code, p.state, bool_or(m.state = any(%s)) as is_out"
            " from offers.coupons as p join delivery.messages as m on m.customer_id = p.customer_id"
            " and m.campaign = p.campaign and m.offer = p.offer group by p.code, p.state",
            ([*TAKEN, "unknown"],),
        ).fetchall()
        for row in rows:
            if row["state"] != ("issued" if row["is_out"] else "void"):
                yield f"coupon {row['code']} is {row['state']}, though {'' if row['is_out'] else 'not '}sent"
