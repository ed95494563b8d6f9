-- One customer version per row.
select
    file_no,
    row_no,
    customer_id as customer_ref,
    nullif(trim(email), '') as email,
    nullif(trim(phone), '') as phone,
    first_name,
    last_name,
    lower(language) as language,
    upper(country) as country,
    time_zone,
    household as household_ref,
    nullif(trim(street), '') as street,
    nullif(trim(postal_code), '') as postal_code,
    nullif(trim(city), '') as city,
    cast(registered_at as timestamptz) as registered_at,
    cast(updated_at as timestamptz) as updated_at
from {{ landed }} as landed
