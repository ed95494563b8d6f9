-- One change per customer given.
insert into shop.changes (customer_id, day, what)
select u.customer_id, :day, array[cast(:what as text)]
from unnest(cast(:customer_ids as bigint[])) as u (customer_id)
