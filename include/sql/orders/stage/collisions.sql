-- One row per customer_id that stands for two customers; there must be none.
select s.customer_id, s.customer_ref, s.other_ref
from stage_seen as s
where s.customer_ref <> s.other_ref
union all
select s.customer_id, s.customer_ref, c.customer_ref as other_ref
from stage_seen as s
inner join shop.customers as c using (customer_id)
where c.customer_ref <> s.customer_ref or c.namespace <> :namespace
limit 5
