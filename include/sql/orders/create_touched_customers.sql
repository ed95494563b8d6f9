-- One row per customer touched in this run.
create temporary table stage_touched_customers as
select customer_id, bool_or(with_orders) as with_orders
from stage_touched
group by customer_id
