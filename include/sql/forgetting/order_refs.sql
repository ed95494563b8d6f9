-- One row per order of the customer from one source.
select distinct order_ref
from shop.order_versions
where customer_id = :customer_id and source = :source
