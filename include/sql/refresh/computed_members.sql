-- One row per member that was computed for a world, sorted by the shop's own reference.
select c.customer_ref
from {{ computed }} as w
inner join shop.customers as c on c.customer_id = w.customer_id
order by c.customer_ref, c.namespace
