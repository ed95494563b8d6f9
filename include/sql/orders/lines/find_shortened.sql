-- Orders with a line in the shop that the load no longer has.
insert into lines_changed
select distinct l.customer_id, l.source, l.order_ref
from shop.order_lines as l
inner join (select distinct customer_id, source, order_ref from lines_new) as k using (customer_id, source, order_ref)
where not exists (
    select from lines_new as n
    where n.customer_id = l.customer_id and n.source = l.source and n.order_ref = l.order_ref and n.line_no = l.line_no
)
on conflict do nothing
