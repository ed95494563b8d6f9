"""What sqlfluff puts for names and macros in our SQL files, where its own stand-in (the name itself) will not do."""

from __future__ import annotations


class Name(str):
    """Text that may be called like a macro too, and stays what it is."""

    def __call__(self, *_: object, **__: object) -> str:
        return str(self)


orders = Name("shop.orders")  # a world's table; in order selections a macro
order_lines = Name("shop.order_lines")
rule = Name("select customer_id from shop.customers")
last_orders = Name("select customer_id, last_order_on from shop.customer_stats")
