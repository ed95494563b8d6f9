-- The complete orders (A2, A3). Pending, cancelled and refunded ones never make or keep a customer.
select o.*
from orders as o
where o.status = 'complete'
