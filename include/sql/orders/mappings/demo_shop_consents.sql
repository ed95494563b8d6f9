-- One answer of a customer per row. Of a withdrawal the time may be unreadable: then it has none.
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
    case
        when changed_at like '____-__-_____:__:__%' and pg_input_is_valid(changed_at, 'timestamptz')
            then cast(changed_at as timestamptz)
    end as updated_at
from {{ landed }} as landed
