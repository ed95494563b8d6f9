-- The revenue of the candidate's complete orders, in the present: for the newest published day.
select s.revenue
from shop.customer_stats as s
where s.customer_id = candidates.customer_id
