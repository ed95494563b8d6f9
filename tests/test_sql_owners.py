"""Each table has one owner: the folder of SQL that may write it. Whoever else needs a change asks the owner."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import Engine, text

from sql_text import Text, texts, without_comments

OWNERS = {
    "public.migrations": "core",
    "shop.days": "core",
    "shop.changes": "core",
    "shop.suppressions": "contact",
    "shop.erased": "contact",
    "shop.rules": "contact",
    "shop.country_zones": "contact",
    "shop.holidays": "contact",
    "shop.orders": "orders",
    "shop.orders_history": "orders",
    "shop.order_lines": "orders",
    "shop.customers": "orders",
    "shop.customers_history": "orders",
    "shop.consents": "orders",
    "shop.consents_history": "orders",
    "shop.list_members": "orders",
    "shop.list_members_history": "orders",
    "shop.products": "orders",
    "shop.products_history": "orders",
    "shop.customer_stats": "orders",
    "shop.rates": "orders",
    "shop.engagement": "events",
    "landing.loads": "orders",
    "landing.rejections": "orders",
    "landing.corrections": "orders",
    "landing.validations": "orders",
    "selections.membership": "selections/refresh",
    "offers.coupons": "offers",
    "offers.redemptions": "offers",
    "offers.coupon_exports": "offers",
    "offers.sales": "offers",
    "campaigns.enrolments": "campaigns",
    "campaigns.versions": "campaigns",
    "campaigns.decisions": "campaigns",
    "campaigns.paused": "campaigns",
    "campaigns.sends": "campaigns",
    "campaigns.send_members": "campaigns",
    "campaigns.approvals": "campaigns",
    "campaigns.candidates": "campaigns",
    "campaigns.first_names": "campaigns",
    "delivery.messages": "ledger",
    "delivery.decisions": "ledger",
    "delivery.restores": "ledger",
    "delivery.caps": "ledger",
    "delivery.halts": "ledger",
    "delivery.audience_members": "delivery",
    "delivery.cards": "delivery",
    "delivery.exports": "delivery",
    "delivery.batches": "delivery",
    "delivery.outbox": "delivery",
    "events.received": "events",
}
# What writes another's table, and why.
EXCEPTIONS = {
    ("campaigns/plan", "delivery.messages"): "who is due is decided by the campaign's own tables, in one statement",
    ("delivery/claim", "delivery.messages"): "decides and claims in one statement, by what delivery knows",
    ("core/record_day", "shop.days"): "the days have a folder of their own",
    ("orders/record_changes", "shop.changes"): "the customers are in a temporary table of the load",
}
# Folders with statements on tables whose names are known only at run time: {{ table }}.
ON_GIVEN_TABLES = {
    "orders": "the landing table of a load, and the merge of any feed",
    "selections/refresh": "the table of a selection",
    "campaigns": "a campaign that is renamed, in every table that names it",
    "privacy": "the rows of a person, in every table that has some",
}
WRITES = re.compile(
    r"\b(?:into|update|delete\s+from|copy|truncate(?:\s+table)?"
    r"|(?:create(?:\s+unlogged)?|alter|drop)\s+table(?:\s+if(?:\s+not)?\s+exists)?)\s+"
    r"(?:only\s+)?(\"?[\w.\"]+|\{\{.*?\}\}\w*|\{%)"
)


def written(sql: str) -> set[str]:
    """The tables that a statement writes; {{ ... }} for those whose name it is given. Temporary ones have no schema."""
    bare = without_comments(sql.lower())
    found = (target.replace('"', "") for target in WRITES.findall(bare))
    return {"{{ ... }}" if target.startswith("{") else target for target in found if target not in ("set", "of")}


def offences(among: list[Text]) -> list[str]:
    """Who writes what is not theirs."""
    found = []
    for each in among:
        for table in sorted(written(each.text)):
            if table == "{{ ... }}":
                may = each.room in ON_GIVEN_TABLES
            elif "." not in table:
                may = each.room == "orders"
            else:
                may = OWNERS.get(table) == each.room or (each.name, table) in EXCEPTIONS
            if not may:
                found.append(f"{each.file}: {each.name} writes {table}, which belongs to {OWNERS.get(table, 'nobody')}")
    return found


STATEMENTS = [each for each in texts() if not each.is_migration]


def test_each_folder_writes_its_own_tables_only() -> None:
    assert not offences(STATEMENTS)


@pytest.mark.parametrize(
    "statement",
    [
        "update delivery.messages as m set state = 'planned'",
        "with gone as (delete from offers.coupons returning code) select count(*) from gone",
        "-- One.\ninsert into shop.suppressions (customer_id) values (1) on conflict do update set reason = 'x'",
        "truncate landing.loads",
        'insert\n  into "delivery"."halts" (kind) values (1)',
        "update {{ table }} set x = 1",
        "insert into stage_orders (customer_id) values (1)",
        "insert into shop.unheard_of (customer_id) values (1)",
        "alter table shop.orders drop column total",
        "drop table if exists shop.orders",
        "create table shop.orders_too (customer_id bigint)",
        "select * into shop.orders_too from shop.orders",
        "update {% if x %}shop.orders{% endif %} set total = 1",
    ],
)
def test_a_table_written_by_another_folder_is_found(statement: str) -> None:
    assert len(offences([Text("events", "events/x.sql", "events/x", statement)])) == 1


def test_what_only_reads_or_locks_is_no_offence() -> None:
    statement = "-- Update delivery.messages.\nselect 'delete from shop.orders' from delivery.messages for update of m"
    assert not offences([Text("events", "events/x.sql", "events/x", statement)])


def test_every_exception_is_needed() -> None:
    needed = {(each.name, table) for each in STATEMENTS for table in written(each.text)}
    assert set(EXCEPTIONS) <= needed
    given = {each.room for each in STATEMENTS if "{{ ... }}" in written(each.text)}
    assert set(ON_GIVEN_TABLES) == given


def test_every_table_of_the_schema_has_an_owner(engine: Engine) -> None:
    with engine.connect() as connection:
        tables = set(connection.execute(text(_TABLES)).scalars())
    assert tables == set(OWNERS)


_TABLES = """
select table_schema || '.' || table_name
from information_schema.tables
where table_type = 'BASE TABLE'
    and (
        table_schema in ('shop', 'landing', 'offers', 'campaigns', 'delivery', 'events')
        or table_schema || '.' || table_name in ('public.migrations', 'selections.membership')
    )
"""


def test_each_statement_writes_tables_of_one_owner() -> None:
    several = {
        each.name: owners
        for each in STATEMENTS
        if len(owners := {OWNERS[table] for table in written(each.text) if table in OWNERS}) > 1
    }
    assert not several
