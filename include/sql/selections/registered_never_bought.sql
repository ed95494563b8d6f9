-- People who registered at least 14 days ago and never completed an order.
select c.customer_id
from customers as c
where {{ between_days('c.registered_at', before=14) }}
    and {{ orders_in('all_orders', at_least=0, at_most=0) }}
