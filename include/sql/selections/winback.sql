-- Customers who once completed an order, but none in the past year (A7).
-- parent: customers
select c.customer_id
from customers as c
where {{ orders_in('orders_past_year', at_least=0, at_most=0) }}
