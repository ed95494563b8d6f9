"""What a shop sold, and at which margin: what margin floors are held against."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from house import D, change

from retention.campaigns import definitions
from retention.offers import floors
from shop import NAMESPACE


class Till:
    """What was sold in a room's shop, and at which margin."""

    def __init__(self, room: Any) -> None:
        self.room = room
        room.shop.customer("buyer", consents=())

    def product(self, ref: str, margin: float | None, category: str | None = None) -> None:
        self.room.execute(
            "insert into shop.products (source, product_ref, category, name, margin, currency, updated_at, known_at)"
            " values ('test', :ref, :category, :ref, :margin, 'EUR', '2025-01-01', '2025-01-01')"
            " on conflict (source, product_ref) do update set margin = :margin",
            ref=ref,
            category=category,
            margin=margin,
        )

    def sell(self, *lines: tuple[str, float], on: date = D - timedelta(days=9), **fields: Any) -> None:
        """An order of so much of these products; without lines it comes to `total`."""
        order_ref = self.room.shop.order("buyer", on, **{"total": sum(amount for _, amount in lines), **fields})
        for number, (ref, amount) in enumerate(lines):
            self.room.execute(
                "insert into shop.order_lines (customer_id, source, order_ref, line_no, product_ref, category,"
                " quantity, unit_price) values (shop.customer_id(:namespace, 'buyer'), 'test', :order_ref, :number,"
                " :ref, 'told by the line', 2, :price)",
                namespace=NAMESPACE,
                order_ref=order_ref,
                number=number,
                ref=ref,
                price=amount / 2,
            )

    def floor(self, percent: str, offer: str = "comeback") -> None:
        change(
            self.room.settings.include / "offers" / f"{offer}.yaml", "valid_for", f"margin_floor: {percent}\nvalid_for"
        )

    def problem(self, day: date = D, **changes: Any) -> str:
        """Why comeback, so changed, is under its floor; nothing where it is not."""
        offer = definitions.read(self.room.settings.include, "winback").offers["comeback"]
        content = {key: value for key, value in (offer.content | changes).items() if value is not None}
        parsed = definitions.offers.parse("comeback", content)
        with self.room.engine.begin() as connection:
            return floors.problems(connection, self.room.settings, [parsed], day).get("comeback", "")
