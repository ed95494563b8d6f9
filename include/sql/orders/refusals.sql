{% from "orders/macros.sql" import rate %}

-- name: take_known_order
-- A cancellation that dates its order impossibly is kept where the order is known: in the shop, or from other rows of
-- the load. Then the order's own instant stands in its place.
update stage_orders as s
set
    ordered_at = money.ordered_at,
    ordered_on = money.ordered_on,
    total_reporting = s.total * money.rate,
    refunded_reporting = s.refunded * money.rate,
    taken_at = money.ordered_at
from (
    select
        *,
        {{ rate("money") }} as rate
    from (
        select
            o.file_no,
            o.row_no,
            o.currency,
            coalesce(known.ordered_at, other.ordered_at) as ordered_at,
            coalesce(known.ordered_on, other.ordered_on) as ordered_on
        from stage_orders as o
        left join shop.orders as known
            on known.customer_id = o.customer_id and known.source = o.source and known.order_ref = o.order_ref
        left join (
            select customer_id, order_ref, min(ordered_at) as ordered_at, min(ordered_on) as ordered_on
            from stage_orders
            where rule is null
                and order_ref in (select w.order_ref from stage_orders as w where w.rule is not null)
            group by customer_id, order_ref
        ) as other on other.customer_id = o.customer_id and other.order_ref = o.order_ref
        where o.rule in ('without_a_time', 'in_the_future', 'too_long_ago')
            and o.taken_at is null
            and o.status in ('cancelled', 'refunded')
    ) as money
) as money
where s.file_no = money.file_no
    and s.row_no = money.row_no
    and abs(s.total * money.rate) < 999999999999
    and abs(s.refunded * money.rate) < 999999999999;

-- name: refuse_broken
-- Rows that break a rule by themselves, but for those that are kept all the same; how many.
with refused as (
    insert into stage_refused (feed, file_no, row_no, rule, value)
    select :feed, file_no, row_no, rule, told
    from {{ table }}
    where rule is not null and taken_at is null
    returning 1
)

select count(*) from refused;

-- name: refuse_orders_of_broken_lines
-- Where lines and orders are the same landed rows, a line that breaks a rule takes its order with it; how many orders.
with refused as (
    insert into stage_refused (feed, file_no, row_no, rule, value)
    select 'orders', o.file_no, o.row_no, min(l.rule), min(l.told)
    from stage_order_lines as l
    inner join stage_orders as o
        on o.file_no = l.file_no and o.order_ref = l.order_ref
        and (l.customer_ref is null or l.customer_ref = o.customer_ref)
    where l.rule is not null
    group by o.file_no, o.row_no
    on conflict do nothing
    returning 1
)

select count(*) from refused;

-- name: refuse_shared
-- Where lines and orders are the same landed rows, a refused order takes all its rows with it.
insert into stage_refused (feed, file_no, row_no, rule, value)
select 'orders', l.file_no, l.row_no, r.rule, r.value
from stage_refused as r
inner join stage_orders as o on o.file_no = r.file_no and o.row_no = r.row_no
inner join stage_order_lines as l
    on l.file_no = o.file_no
    and l.order_ref = o.order_ref
    and (l.customer_ref is null or l.customer_ref = o.customer_ref)
where r.feed = 'orders'
on conflict do nothing;

-- name: find_repeated_orders
-- Orders that the load holds more than once, whoever their customer is.
insert into stage_repeated (order_ref, times, customers_differ)
select order_ref, count(*), min(customer_id) <> max(customer_id)
from stage_orders
group by order_ref
having count(*) > 1;

-- name: refuse_changed_within
-- An order that comes under several customers in one load stays with the first of them; the others' rows are refused.
insert into stage_refused (feed, file_no, row_no, rule, value)
select 'orders', s.file_no, s.row_no, 'customer_changed', s.order_ref
from (
    select
        o.file_no,
        o.row_no,
        o.order_ref,
        o.customer_id,
        first_value(o.customer_id) over (
            partition by o.order_ref order by o.updated_at, o.known_at, o.file_no, o.row_no
        ) as first_customer_id
    from stage_orders as o
    inner join stage_repeated as r using (order_ref)
    where r.customers_differ
) as s
where s.customer_id <> s.first_customer_id
    and not exists (select from shop.orders as known where known.source = :source and known.order_ref = s.order_ref)
on conflict do nothing;

-- name: refuse_changed_since
-- An order that the shop already has under another customer.
insert into stage_refused (feed, file_no, row_no, rule, value)
select 'orders', s.file_no, s.row_no, 'customer_changed', s.order_ref
from stage_orders as s
inner join shop.orders as known on known.source = s.source and known.order_ref = s.order_ref
where known.customer_id <> s.customer_id
on conflict do nothing;

-- name: refuse_unknown_orders
-- Lines of an order that neither the shop nor this load has.
insert into stage_refused (feed, file_no, row_no, rule, value)
select :feed, l.file_no, l.row_no, 'order_unknown', l.order_ref
from stage_order_lines as l
where not exists (select from stage_orders as o where o.order_ref = l.order_ref)
    and not exists (select from shop.orders as known where known.source = :source and known.order_ref = l.order_ref)
on conflict do nothing;

-- name: drop_refused
-- Refused rows leave their stage.
delete from {{ table }} as s
using stage_refused as r
where r.feed = :feed and r.file_no = s.file_no and r.row_no = s.row_no;

-- name: keep_refused
-- The refused rows join the other rejections of the load, their fields shortened; counted by row.
insert into landing.rejections (load_id, file, file_no, row_no, rule, value, row_text)
select
    {{ load_id }},
    f.file ->> 'name',
    r.file_no,
    r.row_no,
    r.rule,
    left(r.value, 200),
    jsonb_object(array[{{ names }}], array[{{ values }}])
from stage_refused as r
inner join {{ part }} as l on l.file_no = r.file_no and l.row_no = r.row_no
inner join (
    select file from landing.loads cross join lateral jsonb_array_elements(files) as file where load_id = {{ load_id }}
) as f on cast(f.file ->> 'number' as integer) = r.file_no
where r.feed = {{ feed }}
on conflict do nothing;

-- name: keep_corrected
-- Rows that are kept with another instant than their own, for an operator to read; how many.
with kept as (
    insert into landing.corrections (load_id, file, file_no, row_no, rule, value, taken_at)
    select :load_id, f.file ->> 'name', s.file_no, s.row_no, s.rule, s.told, s.taken_at
    from {{ table }} as s
    inner join (
        select file from landing.loads cross join lateral jsonb_array_elements(files) as file where load_id = :load_id
    ) as f on cast(f.file ->> 'number' as integer) = s.file_no
    where s.taken_at is not null
    returning 1
)

select count(*) from kept;
