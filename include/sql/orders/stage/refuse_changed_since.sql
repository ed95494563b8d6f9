-- An order that the shop already has under another customer.
insert into stage_refused (feed, file_no, row_no, rule, value)
select 'orders', s.file_no, s.row_no, 'customer_changed', s.order_ref
from stage_orders as s
inner join shop.orders as known on known.source = s.source and known.order_ref = s.order_ref
where known.customer_id <> s.customer_id
on conflict do nothing
