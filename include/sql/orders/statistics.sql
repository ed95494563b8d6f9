{% from "orders/macros.sql" import customer_statistics %}

-- name: forget_statistics
-- Statistics of customers with changed orders are computed anew.
delete from shop.customer_stats as s
using stage_touched_customers as t
where t.customer_id = s.customer_id and t.with_orders;

-- name: refresh_statistics
-- Statistics of customers with changed orders, by the one definition there is.
insert into shop.customer_stats (
    customer_id, orders_count, complete_orders, first_order_on, last_order_on, last_order_at, revenue, last_gap_days,
    median_gap_days, categories
)
select
    customer_id, orders_count, complete_orders, first_order_on, last_order_on, last_order_at, revenue, last_gap_days,
    median_gap_days, categories
from (
{{ customer_statistics(orders, order_lines) }}
) as s;

-- name: record_changes
-- One change per customer touched by this run.
insert into shop.changes (customer_id, day, what)
select customer_id, :day, what from stage_touched_customers
order by customer_id;

-- name: count_touched
-- How many customers this run touched, and how many of them by orders.
select count(*) as customers, count(*) filter (where with_orders) as with_orders
from stage_touched_customers;
