"""May we contact somebody? One answer to it, whoever asks: selection, entry, planning, claim, export."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

import sessions
from retention.campaigns import definitions, steps
from retention.contact import law, suppressions
from retention.core import days
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.delivery.exports import audiences, postal
from retention.delivery.worker import deliver
from retention.selections import refresh
from shop import ShopData

CHANNELS = ("email", "sms", "audience", "postal")
SECOND = timedelta(seconds=1)
NEVER, EVER = datetime(9999, 1, 1, tzinfo=ZoneInfo("UTC")), datetime(2000, 1, 1, tzinfo=ZoneInfo("UTC"))

# Addresses, and whether something reaches them.
EMAILS = {
    "{}@mail.example": True,
    "{}.x+y@post.mail.example": True,
    "Ελένη{}@παράδειγμα.ελ": True,
    "{}'o@mail.example": True,
    "{}..b@x.example": False,
    ".{}@x.example": False,
    "{}.@x.example": False,
    "{}@x..example": False,
    "{}": False,
    "{}@mail": False,
    "{} b@mail.example": False,
    "{}@b@mail.example": False,
    "{}@10.0.0.1": False,
    "{}@-x.example": False,
    "{}@[x.example]": False,
    "<{}@x.example>": False,
    "{}@x.example, y@x.example": False,
    "{}@x.example\n": False,
    "{}\x1cb@x.example": False,
    "{}" + "y" * 64 + "@x.example": False,
    "{}@x.e": False,
    "": False,
}
PHONES = {
    "+31612{:06d}": True,
    "+1650{:06d}": True,
    "0612345678": False,
    "+0612345678": False,
    "+31 6": False,
    "": False,
}

YAML = """\
campaign: by_{channel}
about: Everybody who may be contacted.
status: live
owner: crm@shop.example
selection: everybody
re_entry: never
exit_on: [order]
control: 0%
goal: {{order_within: 30 days}}
send_between: ["09:00", "20:00"]
steps:
  - {{step: hello, day: 0, channel: {channel}{more}}}
"""
TEXT = "{% block text %}Hello.{% endblock %}"
TEMPLATES = {
    "email": TEXT + "{% block subject %}Hello{% endblock %}{% block html %}<p>{{ unsubscribe_url }}</p>{% endblock %}",
    "sms": '{% block text %}Hello. {% include "opt_out.txt.j2" %}{% endblock %}',
    "postal": TEXT,
}


@dataclass(frozen=True)
class Fact:
    """Something known of a customer, from an instant until another."""

    known_at: datetime
    until: datetime
    channel: str = ""  # of a suppression or a consent
    kind: str = ""  # objection, consent or soft_opt_in; the status of an order; the reason of a suppression

    def holds(self, at: datetime) -> bool:
        return self.known_at <= at < self.until


@dataclass(frozen=True, kw_only=True)
class Person:
    """A customer, and all that is known of them."""

    ref: str
    country: str | None
    time_zone: str | None
    email: str | None
    email_ok: bool
    phone: str | None
    phone_ok: bool
    street: str | None
    postal_code: str | None
    city: str | None
    suppressions: list[Fact]
    consents: list[Fact]
    orders: list[Fact]


Rules = dict[tuple[str, str], list[tuple[date, str]]]  # of a country and a channel, the oldest first


def answer(person: Person, channel: str, at: datetime, rules: Rules, shop_zone: ZoneInfo) -> str | None:
    """Why a customer must not be contacted, in Python: what every statement must say."""
    if any(each.channel in (channel, "all") and each.holds(at) for each in person.suppressions):
        return "suppressed"
    said = next((each.kind for each in person.consents if each.channel == channel and each.holds(at)), None)
    local_day = at.astimezone(ZoneInfo(person.time_zone) if person.time_zone else shop_zone).date()

    def rule(country: str | None) -> str | None:
        return next(
            (basis for day, basis in reversed(rules.get((country or "", channel), [])) if day <= local_day), None
        )

    basis = rule(person.country) or rule("unknown")
    has_bought = any(each.kind == "complete" and each.holds(at) for each in person.orders)
    has_ground = (
        said == "consent"
        or (basis == "soft_opt_in" and said == "soft_opt_in" and has_bought)
        or (basis == "legitimate_interest" and said != "objection")
    )
    if not has_ground:
        return "no_consent"
    reaches = {
        "email": person.email_ok,
        "sms": person.phone_ok,
        "audience": person.email_ok or person.phone_ok,
        "postal": None not in (person.street, person.postal_code, person.city, person.country),
    }
    return None if reaches[channel] else "no_address"


def drawn_rules(random: Random, day: date) -> Rules:
    """Rules that change on the days on which somebody's local day may be."""
    rules: Rules = {}
    for country in ("NL", "DE", "US", "JP", "unknown"):
        for channel in CHANNELS:
            starts = random.sample([day + timedelta(days=number) for number in range(4)], random.randint(0, 2))
            if country == "unknown" or (starts and random.random() < 0.7):
                starts = [date(1990, 1, 1), *sorted(starts)]
            if starts:
                rules[country, channel] = [(each, random.choice(law.BASES)) for each in sorted(starts)]
    return rules


def drawn_person(random: Random, number: int, at: datetime) -> Person:
    """A customer of whom some facts become known, or end, at `at` itself, or just before or after."""

    def instants(count: int) -> list[datetime]:
        near = [at - timedelta(days=40), at - timedelta(hours=5), at - SECOND, at, at + SECOND, at + timedelta(hours=3)]
        return sorted(random.sample(near, count))

    def maybe(value: str, share: float = 0.8) -> str | None:
        return value if random.random() < share else None

    def suppression(reason: str) -> Fact:
        known_at, until = instants(2)
        return Fact(known_at, random.choice((until, NEVER)), random.choice((*CHANNELS, "all")), reason)

    def answers(channel: str) -> Iterator[Fact]:
        starts = [*([EVER] if random.random() < 0.8 else []), *instants(random.choice((0, 0, 1, 2)))]
        for known_at, until in zip(starts, [*starts, NEVER][1:], strict=True):
            yield Fact(known_at, until, channel, random.choice(("consent", "consent", "soft_opt_in", "objection")))

    def order() -> Fact:
        known_at, until = random.choice([(EVER, NEVER), tuple(instants(2)), (instants(1)[0], NEVER)])
        return Fact(known_at, until, kind=random.choice(("complete", "complete", "cancelled", "pending")))

    country = random.choice(("NL", "DE", "US", "JP", "FR", None))
    zones = {"US": ["America/New_York", "Pacific/Honolulu"], "JP": ["Asia/Tokyo", None]}
    email = random.choice([*list(EMAILS)[:4], *EMAILS]) if random.random() < 0.9 else None
    phone = random.choice([*list(PHONES)[:2] * 4, *PHONES]) if random.random() < 0.9 else None
    name = random.choice(("c{:03d}", "c{:03d}", "C{:03d}")).format(of := random.choice((number, random.randrange(60))))
    return Person(
        ref=f"c{number:03d}",
        country=country,
        time_zone=random.choice(zones.get(country or "", ["Europe/Amsterdam", "Asia/Tokyo", None])),
        email=email and email.format(name),
        email_ok=EMAILS[email] if email else False,
        phone=phone and phone.format(of),
        phone_ok=PHONES[phone] if phone else False,
        street=maybe("Kerkstraat 1"),
        postal_code=maybe("1012 AB", 0.9),
        city=maybe("Amsterdam", 0.9),
        suppressions=[suppression(each) for each in ("unsubscribed", "complaint")[: random.choice((0, 0, 0, 1, 2))]],
        consents=[each for channel in CHANNELS for each in answers(channel)],
        orders=[order() for _ in range(random.choice((0, 1, 1, 2)))],
    )


REACHED = {"email": ("email", "audience"), "phone": ("sms", "audience")}


def with_shared(people: list[Person]) -> list[Person]:
    """The same people, each with what those have said who have the same address: on the channels that it reaches."""

    def shared(person: Person) -> Iterator[Fact]:
        for kind, channels in REACHED.items():
            address = (getattr(person, kind) or "").lower()
            others = [each for each in people if getattr(each, f"{kind}_ok") and getattr(each, kind).lower() == address]
            for fact in itertools.chain.from_iterable(each.suppressions for each in others):
                if fact.until == NEVER:
                    yield from (replace(fact, channel=each) for each in channels if fact.channel in (each, "all"))

    return [replace(each, suppressions=[*each.suppressions, *shared(each)]) for each in people]


class Town:
    """Some 300 customers, rules of their own, a campaign for each channel, and everybody who asks about them."""

    def __init__(self, settings: Settings, seed: int, include: Path) -> None:
        random = Random(seed)
        self.day = date(2026, random.randint(1, 12), random.randint(1, 28))
        self.zone = ZoneInfo(random.choice(("Europe/Amsterdam", "Asia/Tokyo", "Europe/Athens")))
        self.at = days.known_at(self.day, self.zone)
        self.rules = drawn_rules(random, self.day)
        self.people = [drawn_person(random, number, self.at) for number in range(300)]
        self._write(settings.include, include)
        self.settings = settings.evolve(include=include, shop_time_zone=self.zone)
        self.engine = sessions.connect(self.settings)
        self._fill()

    def expected(self, channel: str) -> dict[str, str | None]:
        people = with_shared(self.people)
        return {each.ref: answer(each, channel, self.at, self.rules, self.zone) for each in people}

    def younger(self) -> set[str]:
        """Whom send_base leaves out since another profile with the address is older: all have registered at once."""
        found = self.run(
            "select customer_ref from shop.customers as c where exists (select from shop.customers as o"
            " where lower(o.email) = lower(c.email) and o.customer_id < c.customer_id)"
        )
        return {ref for (ref,) in found}

    def _write(self, original: Path, include: Path) -> None:
        for folder in ("campaigns", "offers", "messages", "sql"):
            shutil.copytree(original / folder, include / folder)
        lines = [
            f"{country},{channel},{basis},,,{day},art. 1"
            for (country, channel), each in self.rules.items()
            for day, basis in each
        ]
        (include / "rules.csv").write_text("\n".join([",".join(law.COLUMNS), *lines]) + "\n")
        (include / "sql" / "selections" / "everybody.sql").write_text(
            "-- Everybody.\nselect c.customer_id from customers as c\n"
        )
        for channel in CHANNELS:
            more = ", until_day: 5" if channel == "audience" else ""
            (include / "campaigns" / f"by_{channel}.yaml").write_text(YAML.format(channel=channel, more=more))
            if channel in TEMPLATES:
                (include / "messages" / f"by_{channel}").mkdir()
                (include / "messages" / f"by_{channel}" / "hello.en.j2").write_text(TEMPLATES[channel])

    def _fill(self) -> None:
        shop = ShopData(self.engine, self.settings)
        people = json.dumps([asdict(each) for each in self.people], default=str)
        for statement in FILL.split(";"):
            self.run(statement, people=people)
        shop.publish(self.day)
        with self.engine.begin() as connection:
            suppressions.share(connection, "select customer_id from public.people")
            law.sync_rules(connection, self.settings.include)

    def run(self, statement: str, **values: Any) -> list[Any]:
        with self.engine.begin() as connection:
            done = connection.execute(text(statement), values)
            return [tuple(row) for row in done] if done.returns_rows else []

    def answers(self, statement: str, **values: Any) -> dict[str, str | None]:
        """What a query says of each customer."""
        found = dict(self.run(statement, **values))
        return {each.ref: found.get(each.ref, "nothing is said") for each in self.people}

    # --- those who ask -----------------------------------------------------------------------------------------------

    def send_base(self) -> set[str]:
        for name in ("send_base", "everybody"):
            refresh.refresh(Shop(self.settings, self.engine), name, self.day, now=self.at)
        return set(refresh.members(Shop(self.settings, self.engine), "send_base"))

    def entry(self, channel: str) -> dict[str, str | None]:
        ShopData(self.engine, self.settings).launch(f"by_{channel}")
        steps.enrol(Shop(self.settings, self.engine), f"by_{channel}", self.day, now=self.at)
        return self.answers(
            "select c.customer_ref, nullif(d.reason, 'selected') from campaigns.decisions as d"
            " join shop.customers as c using (customer_id) where d.campaign = :campaign",
            campaign=f"by_{channel}",
        )

    def plan(self, channel: str) -> dict[str, str | None]:
        """As of everybody who entered, and of the others as if they had."""
        name = f"by_{channel}"
        self.run(
            "insert into campaigns.enrolments (customer_id, campaign, entry_no, version, arm, entered_on)"
            " select customer_id, :name, 1, :version, 'treated', :day from shop.customers on conflict do nothing",
            name=name,
            version=definitions.read(self.settings.include, name).version,
            day=self.day,
        )
        steps.end_enrolments(Shop(self.settings, self.engine), name, self.day)
        steps.plan(Shop(self.settings, self.engine), name, "hello", self.day)
        return self.reasons("planned")

    def reasons(self, wanted: str) -> dict[str, str | None]:
        """Why a message has another state than the one wanted."""
        return self.answers(
            "select c.customer_ref, nullif(coalesce(m.reason, m.state), :wanted) from delivery.messages as m"
            " join shop.customers as c using (customer_id)",
            wanted=wanted,
        )

    def claim(self, _: str) -> dict[str, str | None]:
        """At the instant at which all others ask, whatever the hour."""
        self.run(
            "update delivery.messages set state = 'planned', reason = null, settled_at = null, due_at = :due,"
            " expires_at = :expires, window_start = '00:00', window_end = '24:00'",
            due=self.at - timedelta(hours=1),
            expires=self.at + timedelta(days=1),
        )
        deliver(Shop(self.settings, self.engine), at=self.at)
        return self.reasons("accepted")

    def export_audience(self) -> dict[str, str | None]:
        """As if everybody were in it."""
        self.run(
            "insert into delivery.audience_members (customer_id, message_key, campaign, step, entry_no, email_meta,"
            " until_on, kept_at) select customer_id, message_key, campaign, step, entry_no, message_key, :until, :kept"
            " from delivery.messages on conflict (customer_id, message_key) do update set kept_at = :kept",
            until=self.day + timedelta(days=9),
            kept=self.at - SECOND,
        )
        audiences.export(Shop(self.settings, self.engine), at=self.at)
        return self.answers(
            "select c.customer_ref, a.left_reason from delivery.audience_members as a"
            " join shop.customers as c using (customer_id)"
        )

    def export_cards(self) -> set[str]:
        """Whose card is printed, as if everybody had one."""
        self.run(
            "update delivery.messages set state = 'accepted', attempts = 1, attempted_at = :at, settled_at = :at,"
            " reason = null, claim = gen_random_uuid(), provider = 'files'",
            at=self.at - SECOND,
        )
        self.run(
            "insert into delivery.cards (customer_id, message_key, campaign, step, language, recipient, street,"
            " postal_code, city, country, card, kept_at) select customer_id, message_key, campaign, step, 'en', 'x',"
            " 'x', 'x', 'x', 'NL', 'x', :kept from delivery.messages"
            " on conflict (customer_id, message_key) do update set kept_at = :kept",
            kept=self.at - SECOND,
        )
        postal.export(Shop(self.settings, self.engine), at=self.at)
        return {
            ref
            for (ref,) in self.run(
                "select c.customer_ref from delivery.cards as k join shop.customers as c using (customer_id)"
                " where k.exported_in is not null"
            )
        }


FILL = """
create table public.people as select shop.customer_id('test', p.ref) as customer_id, p.* from jsonb_to_recordset(
    cast(:people as jsonb)
) as p (
    ref text, country text, time_zone text, email text, phone text, street text, postal_code text, city text,
    suppressions jsonb, consents jsonb, orders jsonb
);
insert into shop.customers (
    customer_id, namespace, customer_ref, email, phone, language, country, time_zone, street, postal_code, city,
    registered_at, updated_at, known_at
)
select customer_id, 'test', ref, email, phone, 'en', country, time_zone, street, postal_code, city,
    '2000-01-01', '2000-01-01', '2000-01-01'
from public.people;
insert into shop.suppressions (customer_id, channel, reason, known_at, lifted_at)
select p.customer_id, f.channel, f.kind, f.known_at, case when f.until < '9000-01-01' then f.until end
from public.people as p,
    jsonb_to_recordset(p.suppressions) as f (channel text, kind text, known_at timestamptz, until timestamptz);
create view public.consents as
select p.customer_id, f.channel, f.kind, f.known_at, f.until
from public.people as p,
    jsonb_to_recordset(p.consents) as f (channel text, kind text, known_at timestamptz, until timestamptz);
insert into shop.consents (customer_id, purpose, channel, is_granted, basis, updated_at, known_at)
select customer_id, 'marketing', channel, kind <> 'objection',
    case kind when 'soft_opt_in' then kind else 'consent' end, known_at, known_at
from public.consents where until > '9000-01-01';
insert into shop.consents_history (
    customer_id, purpose, channel, is_granted, basis, updated_at, known_at, superseded_at
)
select customer_id, 'marketing', channel, kind <> 'objection',
    case kind when 'soft_opt_in' then kind else 'consent' end, known_at, known_at, until
from public.consents where until < '9000-01-01';
insert into shop.consents (customer_id, purpose, channel, is_granted, updated_at, known_at)
select customer_id, 'service', channel, customer_id % 2 = 0, '2000-01-01', '2000-01-01'
from public.people, unnest(array['email', 'sms', 'audience', 'postal']) as c (channel);
create view public.orders as
select p.customer_id, p.ref || '-' || f.number as order_ref, f.fact ->> 'kind' as status,
    cast(f.fact ->> 'known_at' as timestamptz) as known_at, cast(f.fact ->> 'until' as timestamptz) as until
from public.people as p, jsonb_array_elements(p.orders) with ordinality as f (fact, number);
insert into shop.orders (
    customer_id, source, order_ref, ordered_at, ordered_on, status, total, currency, total_reporting, updated_at,
    known_at
)
select customer_id, 'test', order_ref, '2020-01-01', '2020-01-01', status, 1, 'EUR', 1, known_at, known_at
from public.orders where until > '9000-01-01';
insert into shop.orders_history (
    customer_id, source, order_ref, ordered_at, ordered_on, status, total, currency, total_reporting, updated_at,
    known_at,
    superseded_at
)
select customer_id, 'test', order_ref, '2020-01-01', '2020-01-01', status, 1, 'EUR', 1, known_at, known_at, until
from public.orders where until < '9000-01-01'
"""


@pytest.mark.parametrize("seed", range(3))
def test_everybody_who_asks_whether_a_customer_may_be_contacted_gets_the_same_answer(
    settings: Settings, tmp_path: Path, seed: int
) -> None:
    town = Town(settings, seed, tmp_path / "include")
    expected = {channel: town.expected(channel) for channel in CHANNELS}
    for channel, each in expected.items():
        assert set(each.values()) == {None, "suppressed", "no_consent", "no_address"}, f"{channel}: nothing is shown"
    assert town.send_base() == {ref for ref, reason in expected["email"].items() if reason is None} - town.younger()
    for channel in CHANNELS:
        refused = town.younger() if channel == "email" else set()
        assert town.entry(channel) == {
            ref: "not_in_send_base" if ref in refused and reason is None else reason
            for ref, reason in expected[channel].items()
        }
        for ask in (town.plan, town.claim):
            assert ask(channel) == expected[channel], f"{ask.__name__}, {channel}"
        if channel == "audience":
            assert town.export_audience() == expected[channel]
        if channel == "postal":
            assert town.export_cards() == {ref for ref, reason in expected[channel].items() if reason is None}
        for table in ("messages", "outbox", "audience_members", "cards"):
            town.run(f"delete from delivery.{table}")


def test_whether_an_address_can_be_right_is_kept_beside_it_in_past_versions_too(engine: Engine, shop: ShopData) -> None:
    emails = {form.format("ada"): is_valid for form, is_valid in EMAILS.items()}
    phones = {form.format(7): is_valid for form, is_valid in PHONES.items()}
    for number, (email, phone) in enumerate(itertools.zip_longest(emails, phones)):
        shop.customer(f"c{number}", email=email, phone=phone)
    shop.customer("none", email=None, phone=None)
    with engine.begin() as connection:
        connection.execute(
            text(
                "insert into shop.customers_history (customer_id, namespace, customer_ref, email, phone, updated_at,"
                " known_at, superseded_at) select customer_id, namespace, customer_ref, email, phone, updated_at,"
                " known_at - interval '1 day', known_at from shop.customers"
            )
        )
        rows = connection.execute(text("select email, email_ok, phone, phone_ok from shop.customer_versions")).all()
    assert len(rows) == 2 * (len(EMAILS) + 1)
    for row in rows:
        assert row.email_ok == emails.get(row.email, False), row.email
        assert row.phone_ok == phones.get(row.phone, False), row.phone


def test_a_zone_that_postgresql_does_not_know_is_no_zone_of_a_country(
    settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(law, "country_zones", lambda: (("NL", "Europe/Amsterdam"), ("NL", "Mars/Olympus")))
    monkeypatch.setattr(law, "read", lambda _: [])
    with engine.begin() as connection:
        law.sync_rules(connection, settings.include)
        assert connection.execute(text("select zone from shop.country_zones")).scalars().all() == ["Europe/Amsterdam"]


@pytest.mark.parametrize(
    ("table", "more", "values"), [("customers", "", ""), ("customers_history", ", superseded_at", ", 'infinity'")]
)
def test_a_zone_that_postgresql_does_not_know_cannot_be_written(
    engine: Engine, table: str, more: str, values: str
) -> None:
    insert = text(
        f"insert into shop.{table} (customer_id, namespace, customer_ref, updated_at, known_at, time_zone{more})"
        f" values (:number, 'test', 'ada', now(), now(), :zone{values})"
    )
    with engine.begin() as connection:
        for number, zone in enumerate((None, "Europe/Amsterdam")):
            connection.execute(insert, {"number": number, "zone": zone})
    with pytest.raises(DBAPIError, match="not recognized"), engine.begin() as connection:
        connection.execute(insert, {"number": 9, "zone": "Mars/Olympus"})
