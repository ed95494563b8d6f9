-- One order line per row.
select
    file_no,
    row_no,
    order_id as order_ref,
    cast(line as integer) as line_no,
    sku as product_ref,
    category,
    name as description,
    cast(quantity as numeric) as quantity,
    cast(unit_price as numeric) as unit_price
from {{ landed }} as landed
