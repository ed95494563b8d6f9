-- One stint of a customer on a list per row; it comes again when it ends.
select
    file_no,
    row_no,
    customer_id as customer_ref,
    trim(list) as list,
    cast(since as timestamptz) as since,
    cast(nullif(trim(until), '') as timestamptz) as until
from {{ landed }} as landed
