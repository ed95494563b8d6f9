-- Orders that the load holds more than once, whoever their customer is.
insert into stage_repeated (order_ref, times, customers_differ)
select order_ref, count(*), min(customer_id) <> max(customer_id)
from stage_orders
group by order_ref
having count(*) > 1
