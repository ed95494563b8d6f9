-- name: touch
-- Among the touched of that day: customers whose suppressions or engagement changed.
insert into shop.touched (customer_id, day)
select u.customer_id, cast(:day as date)
from unnest(cast(:customer_ids as bigint[])) as u (customer_id)
on conflict (customer_id, day) do nothing;
