"""The win-back guide, rule by rule (A2-A8, B2, B3)."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import text

from retention.contact import law, suppressions
from retention.core.settings import Settings
from shop import ShopData

DAY = date(2026, 11, 20)
LONG_BEFORE = DAY - timedelta(days=900)
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def days_from(day: date, number: int) -> date:
    return day + timedelta(days=number)


def test_a2_only_complete_orders_make_or_keep_a_customer(workshop, shop: ShopData) -> None:
    for status in ("pending", "complete", "cancelled", "refunded"):
        shop.order(shop.customer(f"made by {status}"), DAY, status=status)
        ref = shop.customer(f"kept by {status}")
        shop.order(ref, LONG_BEFORE)
        shop.order(ref, DAY, status=status)
    shop.publish(DAY)
    workshop.select(DAY)
    kept = [f"kept by {status}" for status in ("cancelled", "complete", "pending", "refunded")]
    assert workshop.members("customers") == [*kept, "made by complete"]
    assert workshop.members("winback") == ["kept by cancelled", "kept by pending", "kept by refunded"]


def test_a3_all_orders_holds_exactly_the_complete_orders(workshop, shop: ShopData) -> None:
    ref = shop.customer("C")
    for status in ("pending", "complete", "cancelled", "complete", "refunded"):
        shop.order(ref, DAY, status=status)
    shop.order(shop.customer("never"), DAY, status="pending")
    workshop.write("two", "select c.customer_id from customers as c where {{ orders_in('all_orders') }} = 2")
    workshop.write("none", "select c.customer_id from customers as c where {{ orders_in('all_orders') }} = 0")
    shop.publish(DAY)
    workshop.select(DAY, "two", "none")
    assert (workshop.members("two"), workshop.members("none")) == (["C"], ["never"])


@pytest.mark.parametrize(
    "day",
    [
        DAY,
        date(2026, 3, 29),  # the clock goes forward in Amsterdam
        date(2026, 3, 28),
        date(2026, 10, 25),  # it goes back
        date(2027, 3, 29),  # 365 days after, it went forward
        date(2024, 2, 29),
    ],
)
def test_a4_the_past_year_reaches_from_365_days_ago_to_1_day_ahead_in_the_shops_zone(workshop, shop, day) -> None:
    zone = workshop.settings.shop_time_zone
    known = datetime(2000, 1, 1, tzinfo=zone)
    for offset in (-366, -365, 0, 1, 2):
        midnight = datetime.combine(days_from(day, offset), datetime.min.time(), tzinfo=zone)
        next_midnight = datetime.combine(days_from(day, offset + 1), datetime.min.time(), tzinfo=zone)
        last_second = datetime.fromtimestamp(next_midnight.timestamp() - 1, tz=zone)
        for words, at in (("first", midnight), ("last", last_second)):
            shop.order(shop.customer(f"{offset:+} {words}"), at, known_at=known)
    shop.publish(day)
    workshop.write(
        "bought",
        "select c.customer_id from customers as c where {{ orders_in('orders_past_year', at_least=1) }}",
    )
    workshop.refresh("bought", day)
    inside = [f"{offset:+} {words}" for offset in (0, 1, -365) for words in ("first", "last")]
    assert workshop.members("bought") == sorted(inside)


def test_a5_conditions_combine_by_and_or_and_not(workshop, shop: ShopData) -> None:
    """Every row of the truth table: many orders (A), a recent order (B), e-mail consent (C)."""
    for many, recent, agreed in itertools.product((False, True), repeat=3):
        ref = f"{many:d}{recent:d}{agreed:d}"
        shop.customer(ref, consents=("email",) if agreed else ())
        shop.order(ref, DAY if recent else LONG_BEFORE)
        for _ in range(2 * many):
            shop.order(ref, LONG_BEFORE)
    shop.publish(DAY)
    a = "{{ orders_in('all_orders', at_least=3) }}"
    b = "{{ orders_in('orders_past_year', at_least=1) }}"
    c = (
        "exists (select from consents as a where a.customer_id = c.customer_id"
        " and a.channel = 'email' and a.is_granted)"
    )
    rules = {
        f"{a} and {b}": lambda a, b, c: a and b,
        f"{a} or {b}": lambda a, b, c: a or b,
        f"not {a}": lambda a, b, c: not a,
        f"({a} or {b}) and not {c}": lambda a, b, c: (a or b) and not c,
        f"{a} or not {b} and {c}": lambda a, b, c: a or (not b and c),
        f"not ({a} and {b} and {c})": lambda a, b, c: not (a and b and c),
    }
    for number, (rule, meant) in enumerate(rules.items()):
        workshop.write(f"rule_{number}", f"select c.customer_id from customers as c where {rule}")
        workshop.refresh(f"rule_{number}", DAY)
        expected = [f"{x:d}{y:d}{z:d}" for x, y, z in itertools.product((False, True), repeat=3) if meant(x, y, z)]
        assert workshop.members(f"rule_{number}") == expected, rule


def test_a6_customers_have_from_1_to_any_number_of_complete_orders(workshop, shop: ShopData) -> None:
    """99999 means without limit: whoever orders once more does not drop out."""
    for count in (0, 1, 99_999, 100_000):
        ref = shop.customer(f"{count:06}")
        with shop.engine.begin() as connection:
            connection.execute(
                text(
                    "insert into shop.orders (customer_id, source, order_ref, ordered_at, ordered_on, status, total,"
                    " currency, total_reporting, updated_at, known_at)"
                    " select shop.customer_id('test', :ref), 'test', :ref || '-' || n, '2026-11-01', '2026-11-01',"
                    " 'complete', 1, 'EUR', 1, '2026-11-01', '2026-11-02' from generate_series(1, :count) as n"
                ),
                {"ref": ref, "count": count},
            )
    shop.publish(DAY)
    by_rule = "select c.customer_id from customers as c where {{ orders_in('all_orders', at_least=%d, at_most=%d) }}"
    for name, limits in {
        "ever": (1, 99_999),
        "ever_too": (1, 100_000),
        "to_99998": (1, 99_998),
        "never": (0, 0),
        "all": (0, 99_999),
        "many": (2, 99_999),
    }.items():
        workshop.write(name, by_rule % limits)
        workshop.refresh(name, DAY)
    workshop.refresh("customers", DAY)
    bought = ["000001", "099999", "100000"]
    assert workshop.members("customers") == bought
    assert workshop.members("ever") == workshop.members("ever_too") == bought
    assert workshop.members("to_99998") == ["000001"]
    assert workshop.members("never") == ["000000"]
    assert workshop.members("all") == ["000000", *bought]
    assert workshop.members("many") == ["099999", "100000"]


def test_a7_winback_is_who_bought_but_not_in_the_last_365_days(workshop, shop: ShopData) -> None:
    shop.customer("never")
    for offset in (-366, -365, -364, 0):
        shop.order(shop.customer(f"{offset:+}"), days_from(DAY, offset))
    shop.publish(DAY)
    workshop.select(DAY, "winback")
    assert workshop.members("winback") == ["-366"]


@pytest.mark.parametrize(
    ("name", "day", "inside", "outside"),
    [
        ("lapsed_30_days", DAY, ["2026-10-21", "2026-10-15"], ["2026-10-22", "2026-10-14"]),
        ("lapsed_6_months", DAY, ["2026-05-20", "2026-05-14"], ["2026-05-21", "2026-05-13"]),
        ("lapsed_12_months", DAY, ["2025-11-20", "2025-11-14"], ["2025-11-21", "2025-11-13"]),
        # 31 August + 6 months is 28 February, as are 28, 29 and 30 August
        (
            "lapsed_6_months",
            date(2026, 2, 28),
            ["2025-08-31", "2025-08-28", "2025-08-22"],
            ["2025-09-01", "2025-08-21"],
        ),
        # 29 February + 12 months is 28 February
        (
            "lapsed_12_months",
            date(2025, 2, 28),
            ["2024-02-29", "2024-02-28", "2024-02-22"],
            ["2024-03-01", "2024-02-21"],
        ),
    ],
)
def test_b3_a_lapse_is_seen_for_a_week_and_not_before_or_after(workshop, shop, name, day, inside, outside) -> None:
    for last in (*inside, *outside):
        ref = shop.customer(last)
        shop.order(ref, date.fromisoformat(last))
        shop.order(ref, date(2020, 1, 1))
    shop.publish(day)
    workshop.select(day, name)
    assert workshop.members(name) == sorted(inside)


def test_b2_a_rule_reads_purchases_and_other_behaviour_together(workshop, shop: ShopData) -> None:
    """send_base: consent, suppressions, address, duplicates and engagement."""
    old = datetime(2025, 1, 1, tzinfo=workshop.settings.shop_time_zone)
    shop.customer("fine")
    shop.customer("no consent", consents=("sms",), email="n@mail.example")
    for ref, address in {
        "no address": None,
        "empty": "",
        "no at": "mail.example",
        "no dot": "a@mail",
        "space": "a b@mail.example",
        "two ats": "a@b@mail.example",
        "dots": "a..b@mail.example",
        "number": "a@10.0.0.1",
        "two": "a@m.example, b@m.example",
    }.items():
        shop.customer(ref, email=address)
    shop.customer("greek", email="ελένη@παράδειγμα.ελ")
    for ref, channel in {"left": "email", "gone": "all", "phone only": "sms"}.items():
        shop.customer(ref, email=f"{channel}@mail.example")
        shop._insert("shop.suppressions", customer_id=ref, channel=channel, reason="unsubscribed", known_at=old)
    shop.customer("older", email="Two@mail.example", registered_at=old - timedelta(days=9))
    shop.customer("newer", email="two@mail.example", registered_at=old)
    shop.customer("first profile", email="me@mail.example", registered_at=old - timedelta(days=9))
    shop.customer("second profile", email="me@mail.example", registered_at=old)
    shop._insert(
        "shop.suppressions", customer_id="second profile", channel="email", reason="unsubscribed", known_at=old
    )
    with workshop.engine.begin() as connection:
        suppressions.share(connection, "select customer_id from shop.customers")
    for ref, tracked, engaged in (
        ("asleep", -180, None),
        ("asleep long", -400, -180),
        ("awake", -400, -179),
        ("too short to tell", -179, None),
    ):
        shop.customer(ref, email=f"{ref.replace(' ', '')}@mail.example")
        shop._insert(
            "shop.engagement",
            customer_id=ref,
            tracked_since=days_from(DAY, tracked),
            known_at=old,
            last_engaged_on=None if engaged is None else days_from(DAY, engaged),
        )
    shop.publish(DAY)
    workshop.refresh("send_base", DAY)
    assert workshop.members("send_base") == ["awake", "fine", "greek", "older", "phone only", "too short to tell"]


def test_send_base_reads_a_suppression_from_when_it_is_known_until_it_is_lifted(workshop, shop: ShopData) -> None:
    shop.customer("C")
    zone = workshop.settings.shop_time_zone
    shop._insert(
        "shop.suppressions",
        customer_id="C",
        channel="email",
        reason="complaint",
        known_at=datetime(2026, 11, 11, 0, 0, 1, tzinfo=zone),
        lifted_at=datetime(2026, 11, 13, tzinfo=zone),
    )
    shop.publish_each(date(2026, 11, 10), date(2026, 11, 13))
    found = [bool(workshop.members("send_base", date(2026, 11, day))) for day in (10, 11, 12, 13)]
    assert found == [True, False, True, True]


def test_send_base_takes_an_address_from_a_sale_where_the_law_does(
    workshop, shop: ShopData, settings: Settings
) -> None:
    with workshop.engine.begin() as connection:
        law.sync_rules(connection, settings.include)
    known = datetime(2025, 1, 1, tzinfo=settings.shop_time_zone)
    for ref, country in {"german": "DE", "pole": "PL", "nobody's": None, "new": "DE"}.items():
        shop.customer(ref, consents=(), country=country, email=f"{ref[:3]}@mail.example")
        shop._insert(
            "shop.consents",
            customer_id=ref,
            purpose="marketing",
            channel="email",
            is_granted=True,
            basis="soft_opt_in",
            updated_at=known,
            known_at=known,
        )
        if ref != "new":
            shop.order(ref, days_from(DAY, -30))
    shop.publish(DAY)
    assert workshop.members("send_base", DAY) == ["german"]


def test_registered_never_bought_begins_14_whole_days_after_the_registration_in_the_shops_zone(workshop, shop) -> None:
    zone = workshop.settings.shop_time_zone
    midnight = datetime.combine(days_from(DAY, -13), datetime.min.time(), tzinfo=zone)
    for ref, at in {
        "13 days, first instant": midnight,
        "14 days, last instant": midnight - timedelta(microseconds=1),
        "14 days": midnight - timedelta(days=1),
        "years": LONG_AGO,
        "nobody knows when": None,
    }.items():
        shop.customer(ref, registered_at=at)
    shop.publish(DAY)
    workshop.select(DAY, "registered_never_bought")
    assert workshop.members("registered_never_bought") == ["14 days", "14 days, last instant", "years"]


def test_registered_never_bought_loses_whoever_completed_an_order_however_long_ago(workshop, shop: ShopData) -> None:
    for status in ("pending", "cancelled", "refunded", "complete"):
        shop.order(shop.customer(status), DAY, status=status)
    shop.order(shop.customer("long ago"), LONG_BEFORE)
    twice = shop.customer("twice")
    for _ in range(2):
        shop.order(twice, DAY)
    shop.customer("nothing")
    shop.publish(DAY)
    workshop.select(DAY, "registered_never_bought")
    assert workshop.members("registered_never_bought") == ["cancelled", "nothing", "pending", "refunded"]


def test_loyal_is_five_complete_orders_the_last_of_them_in_the_past_year(workshop, shop: ShopData) -> None:
    for count in (1, 4, 5, 6):
        ref = shop.customer(f"{count} orders")
        for number in range(count):
            shop.order(ref, days_from(DAY, -number))
    for ref, offset in {"-366": -366, "-365": -365, "first of them -900, last ahead": 9}.items():
        shop.customer(ref)
        for number in range(4):
            shop.order(ref, days_from(LONG_BEFORE, number))
        shop.order(ref, days_from(DAY, offset), known_at=datetime(2026, 1, 1, tzinfo=workshop.settings.shop_time_zone))
    ref = shop.customer("fifth is pending")
    for number in range(4):
        shop.order(ref, days_from(DAY, -number))
    shop.order(ref, DAY, status="pending")
    ref = shop.customer("only a pending one is new")
    for number in range(5):
        shop.order(ref, days_from(LONG_BEFORE, number))
    shop.order(ref, DAY, status="pending")
    shop.publish(DAY)
    workshop.select(DAY, "loyal")
    assert workshop.members("loyal") == ["-365", "5 orders", "6 orders", "first of them -900, last ahead"]


def test_one_time_buyers_have_exactly_one_complete_order_of_whatever_age(workshop, shop: ShopData) -> None:
    shop.customer("none")
    for count in (1, 2, 3):
        ref = shop.customer(f"{count}")
        for number in range(count):
            shop.order(ref, days_from(LONG_BEFORE, number))
    for status in ("pending", "cancelled", "refunded"):
        shop.order(shop.customer(f"only {status}"), DAY, status=status)
        shop.order(shop.customer(f"one, and one {status}"), LONG_BEFORE)
        shop.order(f"one, and one {status}", DAY, status=status)
    shop.publish(DAY)
    workshop.select(DAY, "one_time_buyers")
    alone = [f"one, and one {status}" for status in ("cancelled", "pending", "refunded")]
    assert workshop.members("one_time_buyers") == ["1", *alone]


def test_send_base_reads_whether_an_address_is_right_as_it_was_known_then(workshop, shop: ShopData) -> None:
    zone = workshop.settings.shop_time_zone
    shop.customer("C", email="c..c@mail.example")
    with workshop.engine.begin() as connection:
        connection.execute(
            text(
                "insert into shop.customers_history (customer_id, namespace, customer_ref, email, updated_at, known_at,"
                " superseded_at) select customer_id, namespace, customer_ref, email, updated_at, known_at, :then"
                " from shop.customers"
            ),
            {"then": datetime(2026, 11, 12, tzinfo=zone)},
        )
        connection.execute(
            text("update shop.customers set email = 'c@mail.example', known_at = :then"),
            {"then": datetime(2026, 11, 12, tzinfo=zone)},
        )
    shop.publish_each(date(2026, 11, 10), date(2026, 11, 12))
    assert [bool(workshop.members("send_base", date(2026, 11, day))) for day in (10, 11, 12)] == [False, True, True]
