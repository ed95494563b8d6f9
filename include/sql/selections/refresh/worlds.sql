{% from "orders/macros.sql" import customer_statistics %}

-- name: create_world
-- The schema of one world; it is dropped in the transaction that made it.
create schema {{ schema }};

-- name: set_search_path
-- What bare table names mean until this transaction ends.
select set_config('search_path', :search_path, true);

-- name: drop_world
-- Takes the views and tables of a world along.
drop schema {{ schema }} cascade;

-- name: as_of_orders
-- One row per order known by then, as known then.
create view {{ schema }}.orders as
select v.*
from shop.order_versions as v
where v.known_at <= {{ known_by }} and v.superseded_at > {{ known_by }};

-- name: as_of_order_lines
-- One row per line of an order known by then. Lines have no versions: they come with their order's first file.
create view {{ schema }}.order_lines as
select l.*
from shop.order_lines as l
where
    exists (
        select from {{ orders }} as o
        where o.customer_id = l.customer_id and o.source = l.source and o.order_ref = l.order_ref
    );

-- name: as_of_customers
-- One row per customer known by then, as known then.
create view {{ schema }}.customers as
select v.*
from shop.customer_versions as v
where v.known_at <= {{ known_by }} and v.superseded_at > {{ known_by }};

-- name: as_of_customer_stats
-- One row per customer with an order known by then: the statistics as a sync would have left them.
create view {{ schema }}.customer_stats as
{{ customer_statistics(orders, order_lines) }};

-- name: as_of_consents
-- One row per customer, purpose and channel known by then, as known then.
create view {{ schema }}.consents as
select v.*
from shop.consent_versions as v
where v.known_at <= {{ known_by }} and v.superseded_at > {{ known_by }};

-- name: as_of_list_members
-- One row per customer and list known by then, as known then.
create view {{ schema }}.list_members as
select v.*
from shop.list_member_versions as v
where v.known_at <= {{ known_by }} and v.superseded_at > {{ known_by }};

-- name: as_of_products
-- One row per product known by then, as known then.
create view {{ schema }}.products as
select v.*
from shop.product_versions as v
where v.known_at <= {{ known_by }} and v.superseded_at > {{ known_by }};

-- name: as_of_suppressions
-- One row per suppression known by then and not lifted by then; a later lifting was not known.
create view {{ schema }}.suppressions as
select
    s.customer_id,
    s.channel,
    s.reason,
    s.known_at,
    cast(null as timestamptz) as lifted_at
from shop.suppressions as s
where s.known_at <= {{ known_by }} and (s.lifted_at is null or s.lifted_at > {{ known_by }});

-- name: as_of_engagement
-- One row per customer whose engagement has not changed since then. It has no versions: of whoever showed interest
-- later nothing is said, which counts as not inactive.
create view {{ schema }}.engagement as
select e.*
from shop.engagement as e
where e.known_at <= {{ known_by }};

-- name: as_of_membership
-- One row per member of a selection on a day that it has done.
create view {{ view }} as
select m.customer_id
from selections.membership as m
where m.selection = {{ name }} and m.entered_on <= {{ day }} and (m.left_on is null or m.left_on > {{ day }});

-- name: fill
-- Puts the members of a selection on a day into a table; how many they are. Only members of the parent come in, so a
-- child never holds another customer. The key of the table refuses a customer twice and a null; a left join lets the
-- null get that far.
with rule as (
    {{ rule }}
), filled as (
    insert into {{ members }} (customer_id)
    select r.customer_id
    from rule as r
    {% if parent is defined %}
    left join {{ parent }} as p on p.customer_id = r.customer_id
    where p.customer_id is not null or r.customer_id is null
    {% endif %}
    returning customer_id
)
select count(*) from filled;
