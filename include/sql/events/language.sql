-- The language of a customer, none if there is no such customer.
select language
from shop.customers
where customer_id = :customer_id
