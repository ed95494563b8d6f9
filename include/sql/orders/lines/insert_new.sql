-- The lines of changed orders as the load has them.
insert into shop.order_lines (
    customer_id, source, order_ref, line_no, product_ref, category, description, quantity, unit_price, known_at
)
select n.customer_id, n.source, n.order_ref, n.line_no, n.product_ref, n.category, n.description, n.quantity, n.unit_price, n.known_at
from lines_new as n
{{ only_changed }}
order by n.customer_id, n.source, n.order_ref, n.line_no
