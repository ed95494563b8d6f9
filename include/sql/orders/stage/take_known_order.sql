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
        {% include "orders/stage/_rate.sql" %} as rate
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
    and abs(s.refunded * money.rate) < 999999999999
