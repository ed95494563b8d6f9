"""Suppressions have one owner, whoever learns of them."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from orders.shop_files import customer, order, write_day
from retention.contact import suppressions
from retention.core.settings import Settings
from retention.core.shop import Shop
from retention.orders import sync
from shop import NAMESPACE, ShopData

NOW = datetime.fromisoformat("2026-11-21T09:00:00+01:00")


def test_a_refusal_and_a_report_at_once_write_one_suppression(
    settings: Settings, engine: Engine, shop: ShopData
) -> None:
    shop.customer("ada")
    with engine.connect() as connection:
        who = connection.execute(text("select customer_id from shop.customers")).scalar_one()
    counts: list[int] = []
    started = threading.Event()

    def report() -> None:
        with engine.begin() as connection:
            started.set()
            later = NOW + timedelta(minutes=1)
            counts.append(suppressions.suppress(settings, connection, [(who, "all", "stopped", later)]))

    other = threading.Thread(target=report)
    with engine.begin() as connection:
        counts.append(suppressions.suppress(settings, connection, [(who, "all", "stopped", NOW)]))
        other.start()
        started.wait(5)
        other.join(0.5)  # it waits for this transaction
    other.join()
    assert sorted(counts) == [0, 1]
    with engine.connect() as connection:
        assert connection.execute(text("select known_at from shop.suppressions")).scalars().all() == [NOW]
        assert connection.execute(text("select count(*) from shop.changes where what = '{suppressions}'")).scalar() == 1


class Desk:
    """Suppresses customers by their references, and says who is suppressed."""

    def __init__(self, settings: Settings, engine: Engine, namespace: str = NAMESPACE) -> None:
        self.settings = settings
        self.engine = engine
        self.namespace = namespace

    def id(self, ref: str) -> int:
        with self.engine.connect() as connection:
            found = connection.execute(text("select shop.customer_id(:n, :ref)"), {"n": self.namespace, "ref": ref})
            return int(found.scalar_one())

    def suppress(self, ref: str, channel: str, reason: str, at: datetime = NOW) -> int:
        with self.engine.begin() as connection:
            return suppressions.suppress(self.settings, connection, [(self.id(ref), channel, reason, at)])

    def start(self, refs: Iterable[str], at: datetime) -> int:
        with self.engine.begin() as connection:
            return suppressions.lift_stopped(self.settings, connection, [self.id(ref) for ref in refs], at)

    def rows(self, statement: str) -> set[tuple[object, ...]]:
        with self.engine.connect() as connection:
            return {tuple(row) for row in connection.execute(text(statement))}

    def suppressed(self) -> set[tuple[object, ...]]:
        return self.rows(
            "select customer_ref, channel, reason, via from shop.suppressions join shop.customers using (customer_id)"
            " where lifted_at is null"
        )

    def changed(self) -> set[object]:
        return {
            ref
            for (ref,) in self.rows(
                "select customer_ref from shop.changes join shop.customers using (customer_id)"
                " where what = '{suppressions}'"
            )
        }


@pytest.fixture
def desk(settings: Settings, engine: Engine) -> Desk:
    return Desk(settings, engine)


MAILBOX = {"email": "family@mail.example"}


def test_who_shares_a_mailbox_is_suppressed_on_what_reaches_it(desk: Desk, shop: ShopData) -> None:
    shop.customer("ada", **MAILBOX)
    shop.customer("bob", email="Family@Mail.example")
    shop.customer("eve")
    assert desk.suppress("ada", "all", "unsubscribed") == 1
    assert desk.suppressed() == {
        ("ada", "all", "unsubscribed", "self"),
        ("bob", "email", "unsubscribed", "email"),
        ("bob", "audience", "unsubscribed", "email"),
    }
    assert desk.changed() == {"ada", "bob"}
    assert desk.suppress("ada", "all", "unsubscribed", NOW + timedelta(days=1)) == 0


def test_what_is_shared_later_is_not_known_earlier(desk: Desk, engine: Engine, shop: ShopData) -> None:
    """Otherwise a message that was right when it went out would look wrong."""
    for ref in ("ada", "bob"):
        shop.customer(ref, **MAILBOX)
    with engine.begin() as connection:  # written by somebody who shares nothing
        connection.execute(
            text("insert into shop.suppressions (customer_id, channel, reason, known_at) values (:a, 'all', 'x', :at)"),
            {"a": desk.id("ada"), "at": NOW - timedelta(days=1)},
        )
    desk.suppress("bob", "email", "hard_bounce")
    assert desk.rows("select distinct known_at from shop.suppressions where via = 'email'") == {(NOW,)}


def test_who_shares_a_number_is_suppressed_on_what_reaches_it(desk: Desk, shop: ShopData) -> None:
    for ref in ("ada", "bob"):
        shop.customer(ref, phone="+31612345678")
    desk.suppress("ada", "sms", "invalid_number")
    desk.suppress("ada", "email", "hard_bounce")  # of an address that is theirs alone
    desk.suppress("ada", "all", "complaint")
    assert {row for row in desk.suppressed() if row[0] == "bob"} == {
        ("bob", "sms", "invalid_number", "phone"),
        ("bob", "sms", "complaint", "phone"),
        ("bob", "audience", "complaint", "phone"),
    }


def test_an_address_that_reaches_nobody_is_shared_by_nobody(desk: Desk, shop: ShopData) -> None:
    for ref in ("ada", "bob"):
        shop.customer(ref, email="unknown", phone="0")
    desk.suppress("ada", "all", "unsubscribed")
    assert desk.suppressed() == {("ada", "all", "unsubscribed", "self")}


def test_what_is_shared_by_one_address_is_not_passed_on_by_another(desk: Desk, engine: Engine, shop: ShopData) -> None:
    shop.customer("ada", **MAILBOX)
    shop.customer("bob", **MAILBOX, phone="+31612345678")
    shop.customer("eve", phone="+31612345678")
    desk.suppress("ada", "all", "unsubscribed")
    with engine.begin() as connection:
        assert suppressions.share(connection, "select customer_id from shop.customers") == []
    assert {row[0] for row in desk.suppressed()} == {"ada", "bob"}
    desk.suppress("eve", "all", "stopped")
    assert {row for row in desk.suppressed() if row[2] == "stopped"} == {
        ("eve", "all", "stopped", "self"),
        ("bob", "sms", "stopped", "phone"),
        ("bob", "audience", "stopped", "phone"),
    }


def test_start_lifts_what_was_shared_and_not_what_another_has_said(desk: Desk, shop: ShopData) -> None:
    for ref in ("ada", "bob", "eve"):
        shop.customer(ref, **MAILBOX)
    desk.suppress("ada", "all", "stopped")
    desk.suppress("bob", "email", "hard_bounce")
    desk.start(["ada"], NOW + timedelta(days=1))
    assert {row[:3] for row in desk.suppressed()} == {(ref, "email", "hard_bounce") for ref in ("ada", "bob", "eve")}
    desk.suppress("ada", "all", "stopped", NOW + timedelta(days=2))
    desk.suppress("bob", "all", "stopped", NOW + timedelta(days=2))
    desk.start(["ada"], NOW + timedelta(days=3))
    assert {row for row in desk.suppressed() if row[2] == "stopped" and row[1] != "audience"} == {
        ("ada", "email", "stopped", "email"),
        ("bob", "all", "stopped", "self"),
        ("eve", "email", "stopped", "email"),
    }


def test_who_comes_with_the_address_of_somebody_suppressed_is_suppressed_from_then_on(
    settings: Settings, engine: Engine, tmp_path: Path
) -> None:
    desk = Desk(settings, engine, "demo")
    day, after, third = date(2026, 11, 19), date(2026, 11, 20), date(2026, 11, 21)

    def publish(day: date, *customers: dict[str, object]) -> None:
        write_day(tmp_path, day, orders=[order(f"O-{day}", "C9", day)], customers=list(customers))
        sync.sync(Shop(settings, engine), "demo_shop", day, str(tmp_path))

    publish(day, customer("C1", day), customer("C3", day))
    desk.suppress("C1", "all", "unsubscribed", datetime.fromisoformat("2026-11-20T10:00:00+01:00"))
    publish(after, customer("C2", after, email="C1@mail.example"), customer("C4", after))
    assert {row[:2] for row in desk.suppressed()} == {("C1", "all"), ("C2", "email"), ("C2", "audience")}
    assert desk.rows("select distinct known_at from shop.suppressions where via = 'email'") == {
        (datetime.fromisoformat("2026-11-21T00:00:00+01:00"),)
    }
    assert desk.changed() == {"C1", "C2"}
    # And the other way round: somebody suppressed takes the address of another.
    publish(third, customer("C1", third, email="c3@mail.example"))
    assert {row[:2] for row in desk.suppressed() if row[0] == "C3"} == {("C3", "email"), ("C3", "audience")}
    assert desk.rows("select max(known_at) from shop.suppressions") == {
        (datetime.fromisoformat("2026-11-22T00:00:00+01:00"),)
    }


def test_who_is_published_while_somebody_with_their_address_unsubscribes_is_suppressed(
    desk: Desk, engine: Engine, shop: ShopData
) -> None:
    shop.customer("ada", **MAILBOX)
    shop.customer("bob", email="bob@mail.example")
    unsubscribing = threading.Thread(target=desk.suppress, args=("ada", "all", "unsubscribed"))
    with engine.begin() as publication:
        publication.execute(text("update shop.customers set email = :email where customer_ref = 'bob'"), MAILBOX)
        assert suppressions.share(publication, "select customer_id from shop.customers") == []
        unsubscribing.start()
        unsubscribing.join(0.5)  # it waits for this transaction
    unsubscribing.join()
    assert ("bob", "email", "unsubscribed", "email") in desk.suppressed()
