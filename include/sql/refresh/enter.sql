-- Puts those who entered into the selection's table; who was in it stays untouched.
insert into {{ table }} (customer_id)
select w.customer_id
from {{ work }} as w
on conflict (customer_id) do nothing
