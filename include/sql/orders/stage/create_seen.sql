-- Customers in the load: one row each. Two references for one id would be a collision of hashes.
create temporary table stage_seen as
select
    customer_id,
    min(customer_ref) as customer_ref,
    max(customer_ref) as other_ref,
    min(known_at) as known_at
from (
    {{ seen }}
) as s
group by customer_id
