-- The day of the last complete order of the candidate, in the present: for the newest published day.
select s.last_order_on
from shop.customer_stats as s
where s.customer_id = candidates.customer_id
