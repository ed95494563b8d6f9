-- One row per customer with an order: the day of the last complete one. The present, for the newest published day.
select customer_id, last_order_on
from shop.customer_stats
