-- One row per customer who has this number, or had it: a STOP is of the person whom we wrote to.
select distinct c.customer_id
from shop.customer_versions as c
where c.phone = :phone
order by c.customer_id
