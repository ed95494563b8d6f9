-- Customers with at least five complete orders, the last of them in the past year.
-- parent: customers
select s.customer_id
from customer_stats as s
where s.complete_orders >= 5
    and {{ between_days('s.last_order_on', after=365) }}
