-- One row per customer touched in this run, and what of theirs has changed.
create temporary table stage_touched_customers as
select customer_id, array_agg(distinct what order by what) as what, bool_or(what = 'orders') as with_orders
from stage_touched
group by customer_id
