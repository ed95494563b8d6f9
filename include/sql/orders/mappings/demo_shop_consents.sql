-- One answer of a customer per row.
select
    file_no,
    row_no,
    customer_id as customer_ref,
    purpose,
    channel,
    granted = 'yes' as is_granted,
    nullif(basis, '') as basis,
    origin,
    text_version,
    cast(changed_at as timestamptz) as updated_at
from {{ landed }} as landed
