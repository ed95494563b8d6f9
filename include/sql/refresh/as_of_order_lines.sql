-- One row per line of an order known by then. Lines have no versions: they come with their order's first file.
create view {{ schema }}.order_lines as
select l.*
from shop.order_lines as l
where exists (
    select from {{ orders }} as o
    where o.customer_id = l.customer_id and o.source = l.source and o.order_ref = l.order_ref
)
