-- One row per customer with this reference, in one namespace or in any.
select distinct c.customer_id, c.namespace
from shop.customer_versions as c
where c.customer_ref = :ref and (cast(:namespace as text) is null or c.namespace = :namespace)
order by c.namespace
