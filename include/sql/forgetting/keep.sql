-- The customer's rows once more, as those of nobody in particular.
insert into {{ table }} ({{ listed }})
select {{ kept }}
from {{ table }} as t
where t.customer_id = :customer_id
