-- How many days ago the last complete order of the candidate was, in the present: for the newest published day.
select cast(:day as date) - s.last_order_on as days_lapsed
from shop.customer_stats as s
where s.customer_id = candidates.customer_id
