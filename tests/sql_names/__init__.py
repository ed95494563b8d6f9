"""What sqlfluff puts for names and macros in our SQL files, where its own stand-in (the name itself) will not do."""

from __future__ import annotations


class Name(str):
    """Text that may be called like a macro too, and stays what it is."""

    def __call__(self, *_: object, **__: object) -> str:
        return str(self)


# Tables of a world; `orders` is a macro too, in order selections.
table = Name("shop.orders")
orders = Name("shop.orders")
order_lines = Name("shop.order_lines")

# Whole queries.
rule = Name("select customer_id from shop.customers")
last_orders = Name("select customer_id, last_order_on from shop.customer_stats")
mapping = Name("select file_no, row_no from landing.files")
seen = Name("select customer_id, customer_ref from shop.customers")

# Lists of columns, and what is said of them.
keys = Name("customer_id, order_ref")
stage_keys = Name("s.customer_id, s.order_ref")
table_keys = Name("t.customer_id, t.order_ref")
content = Name("status, total")
stage_content = Name("s.status, s.total")
table_content = Name("t.status, t.total")
assignments = Name("status = excluded.status")
join = Name("t.customer_id = s.customer_id")
candidates_join = Name("m.customer_id = s.customer_id")
customer = Name("customer_id")
with_orders = Name("true")
rules = Name("('total', true, '1')")

# One thing more between two others, or nothing.
columns = Name("")
no_columns = Name("")
all_true = Name(", true")
only_changed = Name("")

# Of landed rows, of rows of a customer who is forgotten, of anybody.
customer_ref = Name("landed.customer_ref")
order_ref = Name("landed.order_ref")
listed = Name("customer_id")
kept = Name("t.customer_id")
which = Name("true")

# Words and literals of SQL that stand for themselves nowhere.
column = Name("extra")
sequence = Name("row_numbers")
delimiter = Name("','")
quote = Name("'~'")

# Each channel, and the kind of address it needs.
channels = (("email", "email"), ("sms", "phone"), ("audience", "email_or_phone"), ("postal", "street"))
