-- One row per customer with an order: what shop.customer_stats holds. Nothing in it depends on today.
-- {{ orders }} and {{ order_lines }} name the world: the present, or the versions known on a day.
select
    o.customer_id,
    cast(count(*) as integer) as orders_count,
    cast(count(*) filter (where o.status = 'complete') as integer) as complete_orders,
    min(o.ordered_on) filter (where o.status = 'complete') as first_order_on,
    max(o.ordered_on) filter (where o.status = 'complete') as last_order_on,
    max(o.ordered_at) filter (where o.status = 'complete') as last_order_at,
    coalesce(sum(o.total_reporting - o.refunded_reporting) filter (where o.status = 'complete'), 0) as revenue,
    (array_agg(o.gap_days order by o.ordered_at desc, o.source desc, o.order_ref desc)
        filter (where o.status = 'complete'))[1] as last_gap_days,
    cast(percentile_cont(0.5) within group (order by o.gap_days) filter (where o.status = 'complete') as numeric(10, 1))
        as median_gap_days,
    coalesce((
        select array_agg(distinct l.category order by l.category)
        from {{ order_lines }} as l
        inner join {{ orders }} as c using (customer_id, source, order_ref)
        where l.customer_id = o.customer_id and c.status = 'complete' and l.category is not null
    ), '{}') as categories
from (
    select
        *,
        ordered_on - lag(ordered_on) over (
            partition by customer_id, status = 'complete' order by ordered_at, source, order_ref
        ) as gap_days
    from {{ orders }}
) as o
group by o.customer_id
