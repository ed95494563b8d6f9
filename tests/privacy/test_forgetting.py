"""`retention forget`: the person is nowhere any more, the totals are as they were, and nobody brings them back."""

from __future__ import annotations

import json
import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from local_provider import Provider
from orders.shop_files import consent, customer, line, member, order, write_day
from planner import DAY, MORNING, Planner
from retention.cli import console as cli
from retention.contact import erasures
from retention.core.database import customer_table
from retention.core.errors import DeliveryError, InputError, StateError
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.delivery.operations import proof
from retention.delivery.worker import deliver
from retention.orders import erased, sources, sync
from retention.orders.publishing import SyncCounts
from retention.privacy import forgetting
from shop import NAMESPACE, ShopData

REF = "KLANT-7781"
EMAIL, NEW_EMAIL = "Wilhelmina@zonderland.example", "mina@nieuw.example"
PHONE = "+31655512399"
NAMES = {"first_name": "Wilhelmina", "last_name": "Zonderland"}
ORDER = "BESTELLING-31"
BEFORE = DAY - timedelta(days=1)
NOW = MORNING + timedelta(hours=3)

# What must be the same before and after: who looks at results must not see that somebody is gone.
TOTALS = {
    "orders": "select source, status, ordered_on, count(*), sum(total), sum(total_reporting - refunded_reporting)"
    " from shop.orders group by 1, 2, 3 order by 1, 2, 3",
    "history": "select count(*), sum(total) from shop.orders_history",
    "lines": "select product_ref, count(*), sum(quantity * unit_price) from shop.order_lines as l"
    " join shop.orders as o using (customer_id, source, order_ref) group by 1 order by 1",
    "statistics": "select count(*), sum(complete_orders), sum(revenue), max(last_order_on) from shop.customer_stats",
    "enrolments": "select campaign, arm, entered_on, count(*) from campaigns.enrolments group by 1, 2, 3 order by 1, 2",
    "messages": "select campaign, step, channel, day, replace(state, 'planned', 'skipped'), count(*)"
    " from delivery.messages group by 1, 2, 3, 4, 5 order by 1, 2, 3, 4, 5",
    "of enrolments": "select count(*) from delivery.messages join campaigns.enrolments"
    " using (customer_id, campaign, entry_no)",
    "coupons": "select offer, replace(state, 'reserved', 'void'), count(*) from offers.coupons group by 1, 2",
    "redemptions": "select outcome, count(*) from offers.redemptions"
    " join offers.coupons using (customer_id, code) join shop.orders as o using (customer_id, order_ref)"
    " where o.coupon_code = code group by 1",
    "decisions": "select decision, reason, count(*) from campaigns.decisions group by 1, 2 order by 1, 2",
    "members": "select selection, entered_on, count(*) from selections.membership group by 1, 2 order by 1, 2",
}


class Town:
    """A shop with files of its own: one person who is to be forgotten, in every table there is, and a neighbour."""

    def __init__(self, settings: Settings, engine: Engine, planner: Planner, files: Path) -> None:
        self.settings = settings
        self.engine = engine
        self.planner = planner
        self.files = files

    @property
    def customer_id(self) -> int:
        """The number they have."""
        return int(self.value("select shop.customer_id(:namespace, :ref)", namespace=NAMESPACE, ref=REF))

    def value(self, statement: str, **values: Any) -> Any:
        return next(iter(self.planner.run(statement, **values)[0].values()))

    def sync(self, day: date) -> SyncCounts:
        return sync.sync(Shop(self.settings, self.engine), "demo_shop", day, str(self.files))

    def forget(self, ref: str = REF, **options: Any) -> dict[str, Any]:
        return forgetting.forget(Shop(self.settings, self.engine), ref, at=NOW, **options)

    def totals(self) -> dict[str, Any]:
        return {name: self.planner.run(statement) for name, statement in TOTALS.items()}

    def tables(self, *, with_customers: bool = False) -> list[str]:
        """Every table of ours, partitions once; or those with a customer's number."""
        found = self.planner.run(
            "select t.table_schema || '.' || t.table_name as name from information_schema.tables as t"
            " where t.table_type = 'BASE TABLE' and t.table_schema not in ('pg_catalog', 'information_schema')"
            " and (not :only or t.table_schema <> 'landing' and exists (select from information_schema.columns as k"
            " where k.table_schema = t.table_schema and k.table_name = t.table_name and k.column_name = 'customer_id'))"
            " order by 1",
            only=with_customers,
        )
        return [row["name"] for row in found]

    def traces(self, *words: str) -> list[str]:
        """Where one of the words stands: in any column of any table, or in a file of the outbox."""
        found = [
            f"{table}: {row['said'][:200]}"
            for table in self.tables()
            for row in self.planner.run(
                f"select cast(t as text) as said from {table} as t where cast(t as text) ilike any(:words)",
                words=[f"%{word}%" for word in words],
            )
        ]
        for file in (self.settings.local / "outbox").rglob("*"):
            said = f"{file.name} {file.read_text() if file.is_file() else ''}".lower()
            found += [str(file) for word in words if word.lower() in said]
        return found


@pytest.fixture
def town(settings: Settings, engine: Engine, shop: ShopData, tmp_path: Path) -> Town:
    include = tmp_path / "include"
    for folder in ("expectations", "sources"):
        shutil.copytree(settings.include / folder, include / folder)
    for name in ("sql", "rules.csv", "caps.yaml"):
        (include / name).symlink_to(settings.include / name)
    file = include / "sources" / "demo_shop.yaml"
    file.write_text(file.read_text().replace("namespace: demo", f"namespace: {NAMESPACE}"))
    files = tmp_path / "files"
    person = {"email": EMAIL, "phone": PHONE, **NAMES}
    write_day(
        files,
        BEFORE,
        orders=[
            order(ORDER, REF, BEFORE, coupon="SUMMER"),
            order("O-2", "C2", BEFORE, coupon="SUMMER"),
            order("O-3", REF, BEFORE, total=f"ten, says {EMAIL}"),
        ],
        lines=[line(ORDER), line(ORDER, 2, sku="MUG-1"), line("O-2")],
        customers=[customer(REF, BEFORE, **person), customer("C2", BEFORE)],
        consents=[consent(ref, BEFORE, channel=channel) for ref in (REF, "C2") for channel in ("email", "sms")],
        list_members=[member(REF, BEFORE), member("C2", BEFORE)],
    )
    write_day(
        files,
        DAY,
        orders=[order(ORDER, REF, BEFORE, coupon="SUMMER", refunded="4.00", updated_at=f"{DAY}T10:00:00+01:00")],
        lines=[line(ORDER), line(ORDER, 2, sku="MUG-1")],
        customers=[customer(REF, DAY, **{**person, "email": NEW_EMAIL}), customer("C3", DAY)],
        consents=[consent(REF, DAY, channel="sms", granted="no"), consent(REF, DAY, channel="fax")],
        list_members=[member(REF, BEFORE, until=f"{DAY}T10:00:00+01:00")],
    )
    town = Town(settings.evolve(include=include), engine, Planner(shop), files)
    town.sync(BEFORE)
    town.sync(DAY)
    return town


@pytest.fixture
def full(town: Town) -> Town:
    """The person has a row in every table that has customers."""
    planner = town.planner
    planner.message(REF)
    planner.message("C2")
    deliver(Shop(town.settings, town.engine), at=MORNING)
    nudge = planner.message(REF, step="nudge", channel="sms", offer="comeback")
    unknown = planner.message(REF, step="later", offer="comeback")
    who = {"who": town.customer_id, "at": MORNING}
    planner.run(
        "update delivery.messages set state = 'unknown', reason = 'timeout', attempts = 1, attempted_at = :at,"
        " settled_at = :at, provider = 'sendgrid', provider_id = 'abc', claim = gen_random_uuid()"
        " where message_key = :key",
        key=unknown,
        at=MORNING,
    )
    with town.engine.begin() as connection:
        customer_table(connection, "selections.winback", "customer_id bigint primary key")
    for statement in (
        "update shop.orders set coupon_code = 'CODEKLANT-7781' where customer_id = :who",
        "insert into selections.winback values (:who)",
        "insert into selections.membership (selection, customer_id, entered_on) values ('winback', :who, '2026-11-20')",
        "insert into campaigns.decisions values (:who, 'winback', '2026-11-20', 'enrolled', 'selected')",
        "insert into campaigns.send_members values (:who, 'winback-2026-11-20-0a1b2c3d', null)",
        "insert into campaigns.candidates values (:who, 'winback-2026-11-20-1', 'winback', 'reactivation')",
        "insert into offers.coupon_exports select customer_id, campaign, entry_no, offer, state, expires_at, :at"
        " from offers.coupons where customer_id = :who",
        "insert into offers.redemptions select customer_id, code, 'BESTELLING-31', 'demo_shop', campaign, entry_no,"
        " offer, 'redeemed', cast(:at as timestamptz), :at from offers.coupons where customer_id = :who",
        "insert into shop.suppressions values (:who, 'sms', 'invalid_number', :at)",
        "insert into shop.customers_history (customer_id, namespace, customer_ref, email, phone, updated_at, known_at,"
        " superseded_at) select customer_id, namespace, customer_ref, email, phone, updated_at, known_at, :at"
        " from shop.customers where customer_id = :who"
        " on conflict do nothing",
        "insert into shop.engagement values (:who, '2026-11-21', null, :at)",
        "insert into events.received (customer_id, event_key, provider, kind, occurred_at, received_at)"
        " values (:who, 'e1', 'sendgrid', 'open', :at, :at)",
    ):
        planner.run(statement, **{name: value for name, value in who.items() if f":{name}" in statement})
    planner.run("insert into delivery.decisions values (:who, :key, :at, 'again', 'Jo')", key=unknown, **who)
    planner.run(
        "insert into delivery.audience_members (customer_id, message_key, campaign, step, entry_no, until_on,"
        " email_meta, kept_at, added_in) values (:who, :key, 'winback', 'retarget', 1, '2026-12-01', 'digest', :at, 1)",
        key=nudge,
        **who,
    )
    planner.run(
        "insert into delivery.cards values (:who, :key, 'winback', 'card', 'nl', 'Wilhelmina Zonderland', 'Nergens 1',"
        " '0100 AA', 'Utrecht', 'NL', 'Dag', :at, 1)",
        key=nudge,
        **who,
    )
    return town


def test_nothing_of_the_person_is_left_and_every_total_is_as_it_was(full: Town) -> None:
    number = full.customer_id
    keys = [
        row["message_key"]
        for row in full.planner.run("select message_key from delivery.messages where customer_id = :who", who=number)
    ]
    words = [REF, EMAIL, NEW_EMAIL, PHONE, "wilhelmina", "zonderland", str(number), ORDER, "CODEKLANT", *keys]
    tables = full.tables(with_customers=True)
    filled = [
        table
        for table in tables
        if full.planner.run(f"select from {table} where customer_id = :who limit 1", who=number)
    ]
    assert not set(tables) - set(filled) - {"selections.work_winback"}, "fill them in the fixture `full`"
    before = full.totals()
    assert all(before.values())
    assert {trace.split(":")[0] for trace in full.traces(*words)} >= set(filled)
    assert any("outbox/" in trace for trace in full.traces(*words))

    counts = full.forget()

    assert full.traces(*words) == []
    assert full.totals() == before
    assert counts["skipped"] == 1
    assert counts["files"] == 1
    assert counts["landed"] == 15
    assert full.planner.run("select reason, count(*) from delivery.messages group by 1 order by 1 nulls first") == [
        {"reason": None, "count": 2},
        {"reason": "erased", "count": 1},
        {"reason": "timeout", "count": 1},
    ]
    assert full.value("select count(*) from shop.changes where what = array['erasures']") == 1
    assert full.planner.run("select left_reason from delivery.audience_members") == [{"left_reason": "erased"}]
    assert full.planner.run("select exit_reason from campaigns.enrolments order by 1") == [
        {"exit_reason": "erased"},
        {"exit_reason": None},
    ]
    assert full.value("select count(*) from delivery.outbox") == 1  # the neighbour's


def test_the_books_of_every_load_still_balance(full: Town) -> None:
    full.forget()
    for load in full.planner.run("select * from landing.loads"):
        rejected = full.value(
            "select count(*) from (select distinct file_no, row_no from landing.rejections where load_id = :id) as r",
            id=load["load_id"],
        )
        assert load["rejected"] == rejected
        assert load["landed"] == load["accepted"] + rejected
        assert (
            full.value(
                f"select count(*) from landing.demo_shop_{load['feed']} where load_key = :key", key=load["load_key"]
            )
            <= load["landed"]
        )


def test_once_more_forgets_nothing_twice(full: Town) -> None:
    full.forget()
    before = full.planner.run("select customer_id, message_key from delivery.messages order by 1, 2")
    assert {name: count for name, count in full.forget().items() if count} == {
        "provider": "nothing to erase",
        "removed": 1,
    }
    assert full.planner.run("select customer_id, message_key from delivery.messages order by 1, 2") == before
    assert full.traces(str(full.customer_id)) == []


def test_the_same_files_once_more_bring_nobody_back(town: Town) -> None:
    town.forget()
    extra = order("O-9", "C2", DAY)
    write_day(
        town.files,
        DAY,
        orders=[order(ORDER, REF, BEFORE), order("O-4", REF, DAY, total="nine"), extra],
        lines=[line(ORDER), line("O-4"), line("O-9")],
        customers=[customer(REF, DAY, email=EMAIL, phone=PHONE, **NAMES), customer("C3", DAY)],
        consents=[consent(REF, DAY), consent(REF, DAY, channel="fax")],
        list_members=[member(REF, DAY), member(REF, DAY, list="vip_club")],
    )
    counts = town.sync(DAY)
    assert (counts.landed, counts.accepted, counts.rejected) == (12, 3, 9)
    assert town.planner.run(
        "select distinct rule, value, row_text from landing.rejections inner join landing.loads using (load_id)"
        " where load_key = :day",
        day=DAY.isoformat(),
    ) == [{"rule": "erased", "value": None, "row_text": None}]
    assert town.traces(REF, EMAIL, PHONE, "wilhelmina", str(town.customer_id), ORDER) == []
    assert town.value("select count(*) from shop.orders where order_ref = 'O-9'") == 1


@pytest.mark.parametrize(
    "again",
    [{"email": "WILHELMINA@Zonderland.example "}, {"email": NEW_EMAIL}, {"phone": PHONE, "email": "new@x.example"}],
)
def test_nobody_is_written_to_at_the_same_address_under_another_reference(town: Town, again: dict[str, str]) -> None:
    town.forget()
    after = DAY + timedelta(days=1)
    write_day(
        town.files,
        after,
        orders=[order("O-7", "C2", after)],
        lines=[line("O-7")],
        customers=[customer("KLANT-9", after, **again), customer("C8", after)],
        consents=[consent("KLANT-9", after), consent("C8", after)],
    )
    town.sync(after)
    keys = [town.planner.message(ref, on=after + timedelta(days=1)) for ref in ("KLANT-9", "C8")]
    deliver(Shop(town.settings, town.engine), at=MORNING + timedelta(days=1))
    assert [town.planner.state(key) for key in keys] == [("skipped", "suppressed"), ("accepted", None)]


def test_who_is_there_with_the_same_address_hears_nothing_either(town: Town) -> None:
    town.planner.run("update shop.customers set email = :email where customer_ref = 'C2'", email=NEW_EMAIL.upper())
    assert town.forget()["same_address"] == 1
    key = town.planner.message("C2")
    deliver(Shop(town.settings, town.engine), at=NOW)
    assert town.planner.state(key) == ("skipped", "suppressed")


def test_a_message_on_its_way_is_waited_for_and_nothing_more_is_sent(town: Town) -> None:
    on_its_way, later = town.planner.message(REF), town.planner.message(REF, step="nudge", channel="sms")
    claim = "00000000-0000-0000-0000-000000000001"
    town.planner.run(
        "update delivery.messages set state = 'attempting', attempts = 1, attempted_at = :at, claim = :claim,"
        " provider = 'sendgrid' where message_key = :key",
        key=on_its_way,
        at=MORNING,
        claim=claim,
    )
    from retention.ledger.claims import _key

    with town.engine.connect() as worker:
        worker.exec_driver_sql(f"select pg_advisory_lock({_key(claim)})")
        with pytest.raises(StateError, match="run the same command again"):
            town.forget()
        assert town.planner.state(later) == ("skipped", "erased")
        assert town.planner.state(on_its_way) == ("attempting", None)
        assert town.planner.run("select reason from shop.suppressions") == [{"reason": "erased"}]
        worker.rollback()
    # The worker is gone: what it was attempting is unknown, and the person can go.
    town.forget()
    assert town.traces(REF, NEW_EMAIL, str(town.customer_id)) == []
    assert town.planner.run("select state from delivery.messages where reason = 'worker_died'") == [
        {"state": "unknown"}
    ]


def test_sendgrid_forgets_too_and_while_it_does_not_nothing_else_is_lost(
    town: Town, live: Settings, provider: Provider
) -> None:
    town.settings = live.evolve(include=town.settings.include)
    provider.always(503, body={"errors": [{"message": f"{EMAIL} is not there"}]})
    with pytest.raises(DeliveryError, match="HTTP 503") as problem:
        town.forget()
    assert EMAIL not in str(problem.value)
    assert town.value("select count(*) from shop.customers where customer_ref = :ref", ref=REF) == 1
    assert town.planner.run("select channel, reason from shop.suppressions") == [{"channel": "all", "reason": "erased"}]
    provider.answer = lambda request: (202, {}, {"job_id": "1"})
    assert town.forget()["provider"] == "asked to erase"
    asked = provider.requests[-1]
    assert asked["path"] == "/v3/recipients/erasejob"
    assert asked["json"] == {"email_addresses": sorted([EMAIL, NEW_EMAIL])}
    assert town.value("select count(*) from shop.customers where customer_ref = :ref", ref=REF) == 0


def test_who_is_meant_must_be_clear(town: Town) -> None:
    with pytest.raises(InputError, match="There is no customer 'NOBODY'"):
        town.forget("NOBODY")
    town.planner.run(
        "insert into shop.customers (customer_id, namespace, customer_ref, updated_at, known_at)"
        " values (1, 'other', :ref, now(), now())",
        ref=REF,
    )
    with pytest.raises(InputError, match="name one of other, test"):
        town.forget()
    assert town.forget(namespace=NAMESPACE)["kept"] > 0
    assert town.value("select count(*) from shop.customers where customer_ref = :ref", ref=REF) == 1


def test_the_command_says_in_rows_what_it_did(
    town: Town, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RETENTION_DATABASE_URL", str(town.settings.database_url))
    monkeypatch.setenv("RETENTION_INCLUDE", str(town.settings.include))
    monkeypatch.setenv("RETENTION_LOCAL", str(town.settings.local))
    assert cli.main(["forget", REF, "--namespace", NAMESPACE, "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["landed"] == 15
    assert cli.main(["forget", "NOBODY"]) == 2


def test_every_mapping_says_whose_a_landed_row_is(settings: Settings) -> None:
    files = sorted((settings.include / "sources").glob("*.yaml"))
    for source in [sources.read(settings.include, file.stem) for file in files]:
        found = {
            feed.landing for feed in source.feeds.values() if erased._expression(settings.include, feed, "customer_ref")
        }
        assert {feed.name for feed in source.landed} - found <= {"order_lines", "products"}


def test_a_digest_says_nothing_without_the_secret(settings: Settings) -> None:
    mine = erasures.digest(settings, "email", "a@mail.example")
    assert mine != erasures.digest(settings.evolve(secret="another"), "email", "a@mail.example")
    assert mine != erasures.digest(settings, "phone", "a@mail.example")


def test_the_proof_says_nothing_of_people_who_were_forgotten(town: Town) -> None:
    for ref in (REF, "C2"):
        town.planner.message(ref)
    assert deliver(Shop(town.settings, town.engine), at=MORNING).counts()["accepted"] == 2
    for _ in range(2):
        assert proof.must_hold(Shop(town.settings, town.engine), NOW) == dict.fromkeys(proof.CHECKS, 0)
        forgetting.forget(Shop(town.settings, town.engine), REF, at=NOW)
    assert town.value("select count(*) from delivery.messages where state = 'accepted'") == 2
    assert town.value("select count(*) from shop.customers where customer_ref = :ref", ref=REF) == 0
