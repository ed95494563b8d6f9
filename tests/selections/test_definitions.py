"""What is wrong in a selection's file is said with file and line, and leaves the database as it was."""

from __future__ import annotations

from datetime import date

import pytest

from retention.core.errors import InputError
from retention.selections.definitions import read_all
from shop import ShopData

DAY = date(2026, 11, 20)
RULE = "select c.customer_id from customers as c"


def read(workshop):
    return read_all(workshop.settings.include)


def state(workshop) -> list[list[tuple[object, ...]]]:
    return [
        workshop.rows(statement)
        for statement in (
            "select * from selections.membership order by 1, 2, 3",
            "select relname from pg_class join pg_namespace n on n.oid = relnamespace where nspname = 'selections'"
            " order by 1",
            "select nspname from pg_namespace order by 1",
        )
    ]


def test_definitions_come_in_the_order_of_their_references(workshop) -> None:
    workshop.write(
        "a_last",
        RULE + " where exists (select from {{ selection('winback') }} as w where w.customer_id = c.customer_id)",
        "parent: one_time_buyers",
    )
    order = list(read(workshop))
    assert order.index("customers") < order.index("winback") < order.index("a_last")
    assert order.index("one_time_buyers") < order.index("a_last")
    found = read(workshop)["a_last"]
    assert (found.about, found.parent, found.references) == (
        "A selection of a test.",
        "one_time_buyers",
        ("one_time_buyers", "winback"),
    )


def test_the_first_set_is_there_and_described(workshop) -> None:
    found = read(workshop)
    assert {
        "customers",
        "winback",
        "one_time_buyers",
        "loyal",
        "lapsed_30_days",
        "lapsed_6_months",
        "lapsed_12_months",
        "send_base",
    } <= set(found)
    assert found["winback"].about == "Customers who once completed an order, but none in the past year (A7)."
    assert [found[name].refresh for name in ("winback", "send_base")] == ["candidates", "full"]
    assert found["winback"].order_selections == ("orders_past_year", "all_orders")


def test_a_circle_names_every_file_in_it(workshop) -> None:
    for one, other in (("x", "y"), ("y", "z"), ("z", "x")):
        workshop.write(one, RULE, f"parent: {other}")
    with pytest.raises(InputError, match="in a circle: ") as problem:
        read(workshop)
    assert all(f"include/sql/selections/{name}.sql" in str(problem.value) for name in "xyz")


@pytest.mark.parametrize(
    ("keys", "rule", "message"),
    [
        ((), RULE + " join {{ selection('nobody') }} as n using (customer_id)", "refers to 'nobody', but there is no"),
        (("parent: nobody",), RULE, "has the parent 'nobody', but there is no file include/sql/selections/nobody.sql"),
        (("parrent: customers",), RULE, "bad.sql, line 2: 'parrent' is not known; write `-- parent"),
        (("refresh: sometimes",), RULE, "line 2: refresh is 'sometimes'; write `-- refresh: full`"),
        (("parent: loyal", "parent: loyal"), RULE, "line 3: 'parent' is there twice"),
        ((), RULE + "\nwhere {{ orders_inn('all_orders') }}", "bad.sql, line 3: 'orders_inn' is undefined"),
        ((), RULE + "\nwhere {{ orders_in('some') }} = 1", "line 3: there is no order selection 'some'"),
        ((), RULE + "\nwhere {{ orders_in('all_orders', at_least=2, at_most=1) }}", "at_least=2 is more than at"),
        ((), RULE + "\nwhere {{ orders_in('all_orders', minimum=2) }}", "line 3: .*unexpected keyword argument"),
        ((), RULE + "\nwhere\n{{ between_days('c.x_on', after=1, before=2) }}", "line 4: .* is empty"),
        ((), RULE + "\nwhere {{ between_days('c.x_on') }}", "line 3: .* has no end"),
        ((), RULE + "\nwhere {{ between_days('c.x_on', after=9999999) }}", "line 3: .* outside a century"),
        ((), RULE + "\nwhere {{ between_days('1; drop', after=9) }}", "line 3: '1; drop' is not a column"),
        ((), RULE + "\nwhere {{ between_days('c.x_on', after=2 }}", "bad.sql, line 3: "),
        ((), RULE + "\nwhere true;", "line 3: a semicolon"),
        ((), "delete from customers", "line 2: it does not begin with `select`"),
        ((), RULE + "\nwhere c.registered_at > now()", "line 3: now: a run depends on its day only"),
        ((), "select c.customer_id\nfrom shop.customers as c", "line 3: a table of schema shop"),
        ((), RULE + "\njoin selections.winback as w using (customer_id)", "line 3: a table of schema selections"),
        ((), "select customer_id\nfrom events.received", "line 3: a table of schema events"),
        ((), 'select customer_id\nfrom "events" . "received"', "line 3: a table of schema events"),
        ((), "select customer_id\nfrom events.received as events", "line 3: a table of schema events"),
        ((), RULE + "\nleft join information_schema.tables as t on true", "line 3: a table of schema information_sch"),
        ((), RULE + ",\npublic.migrations as m", "line 3: a table of schema public"),
        ((), RULE + "\nwhere pg_catalog.pg_is_in_recovery()", "line 3: a table of schema pg_catalog"),
        ((), "select customer_id\nfrom pg_stat_activity", "line 3: a table of schema pg_catalog"),
        ((), RULE + "\nwhere c.customer_id in (table events.received)", "line 3: a table of schema events"),
        ((), RULE + "\nwhere c.registered_at < {{ day }}", "uses day outside the window macros"),
        (
            (),
            "select x.customer_id from (\nselect customer_id, row_number() over (order by revenue) as n\n"
            "from customer_stats) as x where n < 9",
            "line 3: a window function .* compares customers",
        ),
        ((), "select s.customer_id from customer_stats as s\norder by revenue limit 10", "line 3: limit over all"),
        (
            (),
            "select s.customer_id from customer_stats as s\n"
            "where s.revenue > (select avg(revenue) from customer_stats)",
            "line 3: a subquery without customer_id",
        ),
        ((), RULE + "\njoin customers as d on d.household_ref = c.household_ref", "line 3: a join that is not on"),
        ((), "select min(c.customer_id) as customer_id from customers as c\ngroup by c.email", "line 3: a group that"),
        (
            (),
            RULE + "\nwhere exists (select from customers as d where d.email = c.email\n"
            "and d.customer_id <> c.customer_id)",
            "line 4: a comparison of different customer_ids",
        ),
    ],
)
def test_what_is_wrong_is_said_with_file_and_line(workshop, keys, rule, message) -> None:
    workshop.write("bad", rule, *keys)
    with pytest.raises(InputError, match=message) as problem:
        read(workshop)
    assert "include/sql/selections/bad.sql" in str(problem.value)
    assert str(workshop.settings.include) not in str(problem.value)


@pytest.mark.parametrize(
    "rule",
    [
        RULE + " where c.email = 'now(); shop.orders limit 1' -- now() limit",
        RULE + " where (select o.total from orders as o where o.customer_id = c.customer_id"
        " order by o.ordered_at limit 1) > 5",
        "select x.customer_id from (select o.customer_id, row_number() over (partition by o.customer_id order by"
        " o.ordered_at) as n from orders as o) as x where x.n = 1",
        "select o.customer_id from orders as o group by o.customer_id having sum(o.total) > 5",
        "select customers.customer_id from customers where extract(year from customers.registered_at) = 2026"
        " and customers.email is distinct from customers.phone and substring(customers.email from 1.5) > ''",
        RULE + " join lateral (select max(o.total) as most from orders as o where o.customer_id = c.customer_id) as m"
        " on m.most > 1",
    ],
)
def test_what_looks_at_one_customer_at_a_time_needs_no_full_refresh(workshop, rule) -> None:
    workshop.write("good", rule)
    assert read(workshop)["good"].refresh == "candidates"


def test_a_full_refresh_may_use_the_day_and_compare_customers(workshop, shop: ShopData) -> None:
    shop.order(shop.customer("most"), DAY, total=9)
    shop.order(shop.customer("least"), DAY, total=1)
    shop.publish(DAY)
    workshop.write(
        "top",
        "select s.customer_id from customer_stats as s where s.last_order_on = {{ day }}"
        " order by s.revenue desc limit 1",
        "refresh: full",
    )
    workshop.refresh("top", DAY)
    assert workshop.members("top") == ["most"]


def test_order_selections_that_refer_to_each_other_are_refused(workshop) -> None:
    workshop.write_orders("x", "select o.* from {{ orders('y') }} as o")
    workshop.write_orders("y", "select o.*\nfrom {{ orders('x') }} as o")
    workshop.write("bad", RULE + " where {{ orders_in('x', at_least=1) }}")
    with pytest.raises(InputError, match=r"order_selections/y\.sql, line 3: the order selections x -> y -> x"):
        read(workshop)


@pytest.mark.parametrize("name", ["work", "work_x", "membership", "Customers", "a-b", "n" * 41])
def test_a_name_that_cannot_be_a_selection_is_refused(workshop, name) -> None:
    workshop.write(name, RULE)
    with pytest.raises(InputError, match="rename the file"):
        read(workshop)


def test_a_file_without_a_sentence_or_in_another_encoding_is_refused(workshop) -> None:
    file = workshop.write("bad", RULE)
    file.write_text(RULE)
    with pytest.raises(InputError, match=r"bad\.sql: begin the file with a comment"):
        read(workshop)
    file.write_bytes(b"-- Caf\xe9.\n" + RULE.encode())
    with pytest.raises(InputError, match=r"bad\.sql is not UTF-8"):
        read(workshop)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("select c.customer_id\nfrom customers as c\nwhere c.shoe_size = '%s: 5'", "line 5: column c.shoe_size"),
        (
            "select c.customer_id\nfrom customers as c\nwhere {{ orders_in('all_orders',\n at_least=1) }}"
            "\nand\nand true",
            'line 8: syntax error at or near "and"',
        ),
        (f"{RULE} union all {RULE}", "more than once"),
        ("select cast(null as bigint) as customer_id", "a customer_id that is null"),
        ("select c.customer_ref as customer_id from customers as c", "is of type bigint but"),
        ("select 1 as id", "r.customer_id does not exist"),
        ("select c.customer_id from customers as c where cast(c.email as integer) = 1", "invalid input syntax for"),
        ("select c.customer_id from customers as c where 1 / (c.customer_id - c.customer_id) = 1", "division by zero"),
        ("select 1 as customer_id) select (1", "syntax error"),
    ],
)
def test_a_rule_that_fails_names_its_file_and_changes_nothing(workshop, shop: ShopData, rule, message) -> None:
    shop.order(shop.customer("C"), DAY)
    shop.publish(DAY)
    workshop.select(DAY, "customers")
    before = state(workshop)
    workshop.write("bad", rule, "refresh: full")
    with pytest.raises(InputError, match=message) as problem:
        workshop.refresh("bad", DAY)
    assert str(problem.value).startswith("include/sql/selections/bad.sql")
    assert "@" not in str(problem.value), "no address in a message"
    assert state(workshop) == before


def test_a_null_is_found_in_a_child_too(workshop, shop: ShopData) -> None:
    shop.publish(DAY)
    workshop.refresh("customers", DAY)
    workshop.write("bad", "select cast(null as bigint) as customer_id", "parent: customers")
    with pytest.raises(InputError, match="a customer_id that is null"):
        workshop.refresh("bad", DAY)


def test_one_that_fails_holds_up_only_what_depends_on_it(workshop, shop: ShopData) -> None:
    shop.order(shop.customer("C"), date(2025, 1, 1))
    shop.publish(DAY)
    workshop.write("bad", "select 1 / 0 as customer_id")
    workshop.write("below", "select b.customer_id from {{ selection('bad') }} as b")
    with pytest.raises(InputError, match=r"2 of \d+ selections failed .*\[bad\].*division by zero.*below"):
        workshop.select(DAY)
    assert workshop.members("winback") == ["C"]
    failed = "select part, message like '%waits for bad%' from shop.days where state = 'failed' order by 1"
    assert workshop.rows(failed) == [("bad", False), ("below", True)]
    workshop.write("bad", "select c.customer_id from customers as c")
    shop.publish(date(2026, 11, 21))
    workshop.select(date(2026, 11, 21))
    assert workshop.members("below", DAY) == ["C"], "the day that failed is caught up"
    assert workshop.rows("select count(*) from shop.days where part = 'below' and state = 'done'") == [(2,)]


def test_an_unknown_selection_lists_those_there_are(workshop) -> None:
    for call in (
        lambda: workshop.refresh("wynback", DAY),
        lambda: workshop.select(DAY, "wynback"),
        lambda: workshop.members("wynback"),
    ):
        with pytest.raises(InputError, match=r"no selection 'wynback'; there are: .*winback"):
            call()


CONTACTABLE = """{% from "contact/macros.sql" import contactable %}
select c.customer_id
from customers as c
where {{ contactable("c", "'sms'", known_by, shop_zone, facts="") }}
    and c.age > 17"""


def test_a_selection_may_ask_whether_a_customer_may_be_contacted(workshop, shop: ShopData) -> None:
    shop.customer("yes")
    shop.customer("no", consents=("email",))
    shop.publish(date(2026, 11, 20))
    workshop.write("reachable", CONTACTABLE.replace("c.age > 17", "true"), "refresh: full")
    assert workshop.members("reachable", date(2026, 11, 20)) == ["yes"]


def test_a_mistake_below_a_macro_is_told_with_its_line(workshop, shop: ShopData) -> None:
    shop.publish(date(2026, 11, 20))
    workshop.write("reachable", CONTACTABLE, "refresh: full")
    with pytest.raises(InputError, match=r"line 7: column c\.age does not exist"):
        workshop.refresh("reachable", date(2026, 11, 20))


def test_who_may_be_contacted_depends_on_the_day_so_all_of_it_is_refreshed(workshop) -> None:
    workshop.write("reachable", CONTACTABLE)
    with pytest.raises(InputError, match=r"uses known_by outside the window macros, so .* needs the line"):
        read_all(workshop.settings.include)


def test_a_product_is_no_customers_so_a_selection_that_reads_products_is_refreshed_as_a_whole(workshop) -> None:
    workshop.write(
        "profitable",
        "select c.customer_id from customers as c where exists (select from order_lines as l inner join products as p"
        " using (source, product_ref) where l.customer_id = c.customer_id and p.margin > 0.4)",
    )
    with pytest.raises(InputError, match=r"a join that is not on customer_id .*needs the line `-- refresh: full`"):
        read_all(workshop.settings.include)


@pytest.mark.parametrize("name", ["delivery/claim.sql", "selections/winback.sql", "../rules.csv", "contact/../x.sql"])
def test_a_selection_brings_in_macros_and_nothing_else(workshop, name: str) -> None:
    workshop.write("reachable", f'{{% include "{name}" %}}')
    with pytest.raises(InputError, match="there is no template"):
        read_all(workshop.settings.include)
