-- name: newest_change
-- The number of the newest change; 0 in an empty shop.
select coalesce(max(change_no), 0) as change_no
from shop.changes;

-- name: record_changes
-- One change per customer given.
insert into shop.changes (customer_id, day, what)
select u.customer_id, :day, array[cast(:what as text)]
from unnest(cast(:customer_ids as bigint[])) as u (customer_id);

-- name: sample_changes
-- Ten customers with a change after :since, by the shop's own reference.
select distinct c.customer_ref
from shop.changes as n
inner join shop.customers as c on c.customer_id = n.customer_id
where n.change_no > :since
order by c.customer_ref
limit 10;
