-- name: collisions
-- One row per customer_id that stands for two customers; there must be none.
select s.customer_id, s.customer_ref, s.other_ref
from stage_seen as s
where s.customer_ref <> s.other_ref
union all
select s.customer_id, s.customer_ref, c.customer_ref as other_ref
from stage_seen as s
inner join shop.customers as c using (customer_id)
where c.customer_ref <> s.customer_ref or c.namespace <> :namespace
limit 5;

-- name: add_minimal_customers
-- A customer known only from an order or a consent: one row that any real one supersedes.
with added as (
    insert into shop.customers (customer_id, namespace, customer_ref, updated_at, known_at)
    select s.customer_id, :namespace, s.customer_ref, timestamptz '1900-01-01 00:00:00+00', s.known_at
    from stage_seen as s
    order by s.customer_id
    on conflict (customer_id) do nothing
    returning customer_id
)
insert into stage_touched (customer_id, what)
select customer_id, 'customers' from added;

-- name: earlier_minimal_customers
-- A minimal customer is known from the first order on, also when a history brings an earlier one later.
update shop.customers as c
set known_at = s.known_at
from stage_seen as s
where s.customer_id = c.customer_id and s.known_at < c.known_at and c.updated_at = timestamptz '1900-01-01 00:00:00+00';

-- name: create_touched_customers
-- One row per customer touched in this run, and what of theirs has changed.
create temporary table stage_touched_customers as
select customer_id, array_agg(distinct what order by what) as what, bool_or(what = 'orders') as with_orders
from stage_touched
where customer_id is not null
group by customer_id;
