-- How many customers this run touched, and how many of them by orders.
select count(*) as customers, count(*) filter (where with_orders) as with_orders
from stage_touched_customers
