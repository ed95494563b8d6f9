-- Order lines of the load as they should stand: of an order that comes in several files, those of the last file only.
create temporary table lines_new as
select distinct on (customer_id, source, order_ref, line_no)
    customer_id,
    source,
    order_ref,
    line_no,
    product_ref,
    category,
    description,
    quantity,
    unit_price,
    known_at
from (
    select
        o.customer_id,
        o.source,
        l.order_ref,
        l.file_no,
        l.row_no,
        cast(coalesce(l.line_no, l.place) as integer) as line_no,
        l.product_ref,
        l.category,
        l.description,
        l.quantity,
        l.unit_price,
        coalesce(l.known_at, o.known_at) as known_at
    from (
        select
            *,
            row_number() over (partition by order_ref, file_no order by row_no) as place,
            max(file_no) over (partition by order_ref) as last_file_no
        from stage_order_lines
    ) as l
    inner join shop.orders as o on o.source = :source and o.order_ref = l.order_ref
    where l.file_no = l.last_file_no
) as placed
order by customer_id, source, order_ref, line_no, row_no desc
