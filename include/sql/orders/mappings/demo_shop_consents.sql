-- One answer of a customer per row. Of a withdrawal the time or the basis may be unreadable: then it has none.
select
    file_no,
    row_no,
    customer_id as customer_ref,
    purpose,
    lower(trim(channel)) as channel,
    lower(trim(granted)) = 'yes' as is_granted,
    case when basis in ('consent', 'soft_opt_in') then basis end as basis,
    origin,
    text_version,
    case
        when changed_at like '____-__-_____:__:__%' and pg_input_is_valid(changed_at, 'timestamptz')
            then cast(changed_at as timestamptz)
    end as updated_at
from {{ landed }} as landed
