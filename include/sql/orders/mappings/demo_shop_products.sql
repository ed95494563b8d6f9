-- One product per row.
select
    file_no,
    row_no,
    sku as product_ref,
    nullif(trim(category), '') as category,
    trim(name) as name,
    cast(nullif(trim(margin), '') as numeric) as margin,
    cast(nullif(trim(price), '') as numeric) as price,
    nullif(trim(picture), '') as picture_url,
    nullif(trim(url), '') as url,
    cast(updated_at as timestamptz) as updated_at
from {{ landed }} as landed
