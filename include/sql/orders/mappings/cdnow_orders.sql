-- One order per row. It has no id: its content makes one, with a number where the same comes more than once in a file.
select
    file_no,
    row_no,
    customer as customer_ref,
    concat_ws('-', customer, date, cds, dollars, row_number() over (
        partition by file_no, customer, date, cds, dollars order by row_no
    )) as order_ref,
    cast(cast(date as date) as timestamp) at time zone :zone as ordered_at,
    'complete' as status,
    cast(dollars as numeric) as total,
    'USD' as currency
from {{ landed }} as landed
