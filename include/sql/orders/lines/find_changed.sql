-- Orders with a line that the shop has not, or has otherwise.
insert into lines_changed
select distinct n.customer_id, n.source, n.order_ref
from lines_new as n
left join shop.order_lines as l using (customer_id, source, order_ref, line_no)
where l.customer_id is null
    or (n.product_ref, n.category, n.description, n.quantity, n.unit_price)
    is distinct from (l.product_ref, l.category, l.description, l.quantity, l.unit_price)
