"""What shop.customer_stats says of a customer: each figure, and what must not change it."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal

import pytest

from shop import Shop

DAY = date(2026, 11, 20)
START = date(2026, 1, 1)


def order_on(shop: Shop, ref: str, *offsets: int, status: str = "complete") -> None:
    """An order of `ref` so many days after START, each."""
    for offset in offsets:
        shop.order(ref, START + timedelta(days=offset), status=status)


def line(shop: Shop, ref: str, order_ref: str, line_no: int, category: str | None, source: str = "test") -> None:
    shop._insert(
        "shop.order_lines", customer_id=ref, source=source, order_ref=order_ref, line_no=line_no, product_ref="p",
        category=category, quantity=1, unit_price=5,
    )  # fmt: skip


@pytest.fixture
def statistics(workshop, shop: Shop):
    """Publish the day; a function from a column to what it says, by customer."""

    def read(column: str) -> dict[str, object]:
        shop.publish(DAY)
        statement = (
            f"select c.customer_ref, s.{column} from shop.customer_stats as s inner join shop.customers as c"
            " using (customer_id)"
        )
        return dict(workshop.rows(statement))  # type: ignore[arg-type]

    return read


def test_the_median_gap_is_the_middle_one_or_the_mean_of_the_two_in_the_middle(shop: Shop, statistics) -> None:
    for ref, offsets in {
        "one order": [0], "two orders": [0, 7], "odd": [0, 1, 5, 100], "even": [0, 1, 5, 10, 100],
        "halves": [0, 1, 3], "the same day": [3, 3],
    }.items():  # fmt: skip
        order_on(shop, shop.customer(ref), *offsets)
    assert statistics("median_gap_days") == {
        "one order": None, "two orders": Decimal("7.0"), "odd": Decimal("4.0"), "even": Decimal("4.5"),
        "halves": Decimal("1.5"), "the same day": Decimal("0.0"),
    }  # fmt: skip


def test_the_median_gap_goes_by_when_orders_were_made_and_not_by_when_they_came(shop: Shop, statistics) -> None:
    order_on(shop, shop.customer("c"), 30, 0, 10)
    shop.customer("known late")
    for offset, known in ((0, 90), (10, 70), (30, 80)):
        known_at = datetime.combine(START + timedelta(days=known), time(), tzinfo=shop.zone)
        shop.order("known late", START + timedelta(days=offset), known_at=known_at)
    assert statistics("median_gap_days") == {"c": Decimal("15.0"), "known late": Decimal("15.0")}


def test_orders_of_one_day_follow_each_other_by_their_instants(shop: Shop, statistics) -> None:
    order_on(shop, shop.customer("c"), 0)
    for order_ref, hour in (("z", 10), ("a", 12)):
        at = datetime.combine(START + timedelta(days=4), time(hour), tzinfo=shop.zone)
        shop.order("c", at, order_ref=order_ref)
    assert statistics("last_gap_days") == {"c": 0}


def test_the_median_gap_is_between_complete_orders_of_one_customer(shop: Shop, statistics) -> None:
    for ref in ("one", "other"):
        order_on(shop, shop.customer(ref), 0, 20)
    for status in ("pending", "cancelled", "refunded"):
        order_on(shop, "one", 5, 6, 7, 40, 200, status=status)
    order_on(shop, shop.customer("never completed"), 0, 9, status="pending")
    same = {"one": Decimal("20.0"), "other": Decimal("20.0"), "never completed": None}
    assert statistics("median_gap_days") == same
    assert statistics("last_gap_days") == {"one": 20, "other": 20, "never completed": None}


def test_the_gap_of_orders_of_one_instant_is_that_of_the_later_source_and_reference(shop: Shop, statistics) -> None:
    at = datetime.combine(START + timedelta(days=9), time(12), tzinfo=shop.zone)
    for ref, keys in {
        "by reference": [("test", "b2"), ("test", "b1")], "by source": [("y", "a1"), ("x", "a2")]
    }.items():  # fmt: skip
        order_on(shop, shop.customer(ref), 0)
        for source, order_ref in keys:
            shop.order(ref, at, source=source, order_ref=order_ref)
    assert statistics("last_gap_days") == {"by reference": 0, "by source": 0}


def test_the_last_gap_is_between_the_last_two_complete_orders(shop: Shop, statistics) -> None:
    order_on(shop, shop.customer("c"), 100, 0, 30)
    order_on(shop, shop.customer("one order"), 0)
    assert statistics("last_gap_days") == {"c": 70, "one order": None}


def test_categories_are_those_of_complete_orders_each_once_and_sorted(shop: Shop, statistics) -> None:
    ref = shop.customer("c")
    first, second = shop.order(ref, START), shop.order(ref, DAY)
    for order_ref, line_no, category in (
        (first, 1, "tea"), (first, 2, "cups"), (first, 3, None), (second, 1, "tea"), (second, 2, "a book"),
    ):  # fmt: skip
        line(shop, ref, order_ref, line_no, category)
    for status in ("pending", "cancelled", "refunded"):
        line(shop, ref, shop.order(ref, DAY, status=status), 1, status)
    nothing = shop.customer("nothing known")
    line(shop, nothing, shop.order(nothing, DAY), 1, None)
    shop.order(shop.customer("no lines"), DAY)
    pending = shop.customer("never completed")
    line(shop, pending, shop.order(pending, DAY, status="pending"), 1, "tea")
    assert statistics("categories") == {
        "c": ["a book", "cups", "tea"], "nothing known": [], "no lines": [], "never completed": []
    }  # fmt: skip


def test_lines_belong_to_the_order_of_their_customer_source_and_reference(shop: Shop, statistics) -> None:
    for ref in ("one", "other"):
        shop.customer(ref)
        shop.order(ref, START, order_ref="1")
        line(shop, ref, "1", 1, f"of {ref}")
        for source, order_ref in (("second", "1"), ("test", "2")):  # an order of the same reference, or of the source
            shop.order(ref, START, source=source, order_ref=order_ref, status="cancelled")
            line(shop, ref, order_ref, 1, f"cancelled {source} {order_ref}", source=source)
    shop.order("other", START, order_ref="3")
    shop.order("one", START, order_ref="3", status="cancelled")
    line(shop, "one", "3", 1, "of one, cancelled")
    assert statistics("categories") == {"one": ["of one"], "other": ["of other"]}


def test_numbers_and_days_are_of_complete_orders_but_for_the_number_of_all(shop: Shop, statistics) -> None:
    order_on(shop, shop.customer("c"), 50, 10, 20)
    for status in ("pending", "cancelled", "refunded"):
        order_on(shop, "c", 1, 90, status=status)
    order_on(shop, shop.customer("never completed"), 5, status="pending")
    shop.customer("no order")
    assert statistics("orders_count") == {"c": 9, "never completed": 1}
    assert statistics("complete_orders") == {"c": 3, "never completed": 0}
    assert statistics("first_order_on") == {"c": START + timedelta(days=10), "never completed": None}
    assert statistics("last_order_on") == {"c": START + timedelta(days=50), "never completed": None}
    at = datetime.combine(START + timedelta(days=50), time(12), tzinfo=shop.zone)
    assert statistics("last_order_at") == {"c": at, "never completed": None}


def test_revenue_is_what_complete_orders_brought_less_what_was_refunded_of_them(shop: Shop, statistics) -> None:
    shop.order(shop.customer("c"), START, total=9, total_reporting=30, refunded=4, refunded_reporting=5)
    shop.order("c", DAY, total=1, total_reporting=2)
    shop.order("c", DAY, total=1000, status="refunded", refunded=1000, refunded_reporting=1000)
    shop.order(shop.customer("never completed"), DAY, total=9, status="pending")
    assert statistics("revenue") == {"c": Decimal("27.00"), "never completed": Decimal("0.00")}
