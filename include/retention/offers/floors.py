"""Margin floors: what an offer leaves of the price must not fall under its floor.

That is the margin of what was sold in the past year, weighted by revenue, of the products to which the offer applies;
less its discount; less what sending an order, and the offer itself, cost as a share of the order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from sqlalchemy import Connection

from retention.core import days
from retention.core.database import lock, one, run
from retention.core.settings import Settings
from retention.offers import costs
from retention.offers.definitions import Offer

MOST_UNKNOWN = Decimal("0.2")  # of the revenue may be of products whose margin nobody knows


@dataclass(frozen=True, kw_only=True)
class Sold:
    """What was sold in the past year, of what an offer applies to."""

    revenue: Decimal
    orders: Decimal
    known: Decimal  # the revenue of products with a margin
    margin: Decimal | None  # of those, a share of the price; None: there are none


def problems(connection: Connection, settings: Settings, offers: Iterable[Offer], day: date) -> dict[str, str]:
    """Of each offer under its floor, as known at the end of `day`: why, in a sentence. Raises as `costs.read`."""
    found = {
        offer.name: _problem(connection, settings, offer, day) for offer in offers if offer.margin_floor is not None
    }
    return {name: problem for name, problem in found.items() if problem is not None}


def _problem(connection: Connection, settings: Settings, offer: Offer, day: date) -> str | None:
    sold = _sold(connection, settings, offer, day)
    which = "of what it applies to" if offer.categories or offer.products else "of the shop"
    if not sold.revenue:
        return f"Offer {offer.name}: nothing {which} was sold in the past year, so nobody knows the margin."
    if sold.margin is None or sold.revenue - sold.known > MOST_UNKNOWN * sold.revenue:
        return (
            f"Offer {offer.name}: {_percent(1 - sold.known / sold.revenue)} of the revenue {which} has no known "
            f"margin, more than {_percent(MOST_UNKNOWN)}; give the feed `products` their margins."
        )
    known = costs.read(settings.include)
    order = offer.minimum_order or sold.revenue / sold.orders
    cost = (known.shipping + known.offer.get(offer.type, Decimal(0))) / order
    left = sold.margin - offer.discount - cost
    if left >= (offer.margin_floor or 0) / 100:
        return None
    return (
        f"Offer {offer.name} would leave {_percent(left)} of the price, under its floor of {offer.margin_floor:f} %: "
        f"margin {_percent(sold.margin)}, less discount {_percent(offer.discount)}, "
        f"less shipping and costs {_percent(cost)}."
    )


def _sold(connection: Connection, settings: Settings, offer: Offer, day: date) -> Sold:
    """As known at the end of `day`; the weights, which hardly change, at the beginning of its week."""
    as_of = day - timedelta(days=day.weekday())
    if not _are_counted(connection, as_of):
        lock(connection, "offers", "sales")
        if not _are_counted(connection, as_of):
            known_by = days.known_at(as_of - timedelta(days=1), settings.shop_time_zone)
            run(connection, "offers/forget_sales", as_of=as_of)
            run(connection, "offers/count_sales", as_of=as_of, known_by=known_by)
    return Sold(
        **one(
            connection,
            "offers/margin_sold",
            as_of=as_of,
            categories=list(offer.categories),
            products=list(offer.products),
            known_by=days.known_at(day, settings.shop_time_zone),
        )
    )


def _are_counted(connection: Connection, as_of: date) -> bool:
    return bool(one(connection, "offers/are_sales_counted", as_of=as_of)["are_counted"])


def _percent(share: Decimal) -> str:
    return f"{share * 100:.1f} %"
