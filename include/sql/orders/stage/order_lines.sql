-- Typed order lines.
insert into stage_order_lines
select
    p.file_no,
    p.row_no,
    {{ row_count }},
    {{ customer_ref }},
    p.order_ref,
    cast({{ line_no }} as integer),
    p.product_ref,
    {{ category }},
    {{ description }},
    p.quantity,
    p.unit_price,
    f.known_at
from (
    {{ mapping }}
    offset 0
) as p
inner join stage_files as f using (file_no)
