-- Customers with exactly one complete order.
-- parent: customers
select s.customer_id
from customer_stats as s
where s.complete_orders = 1
