-- The lines of changed orders go all at once.
delete from shop.order_lines as l
using lines_changed as c
where l.customer_id = c.customer_id and l.source = c.source and l.order_ref = c.order_ref
