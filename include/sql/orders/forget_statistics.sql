-- Statistics of customers with changed orders are computed anew.
delete from shop.customer_stats as s
using stage_touched_customers as t
where t.customer_id = s.customer_id and t.with_orders
