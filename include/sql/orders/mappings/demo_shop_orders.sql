-- One order version per row.
select
    file_no,
    row_no,
    customer_id as customer_ref,
    order_id as order_ref,
    cast(created_at as timestamptz) as ordered_at,
    status,
    cast(total as numeric) as total,
    cast(refunded as numeric) as refunded,
    currency,
    coupon as coupon_code,
    store,
    cast(updated_at as timestamptz) as updated_at
from {{ landed }} as landed
