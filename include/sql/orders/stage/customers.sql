-- Typed customer rows.
insert into stage_customers
select
    m.*,
    coalesce(f.known_at, cast(cast(m.updated_at at time zone :shop_zone as date) + 1 as timestamp) at time zone :shop_zone)
from (
    select
        p.file_no,
        p.row_no,
        cast({{ row_count }} as bigint) as row_count,
        shop.customer_id(:namespace, p.customer_ref) as customer_id,
        :namespace as namespace,
        p.customer_ref,
        {{ email }} as email,
        {{ phone }} as phone,
        {{ first_name }} as first_name,
        {{ last_name }} as last_name,
        {{ language }} as language,
        {{ country }} as country,
        {{ time_zone }} as time_zone,
        {{ household_ref }} as household_ref,
        cast({{ registered_at }} as timestamptz) as registered_at,
        {{ street }} as street,
        {{ postal_code }} as postal_code,
        {{ city }} as city,
        cast(coalesce({{ updated_at }}, f2.starts_at, {{ registered_at }}) as timestamptz) as updated_at
    from (
        {{ mapping }}
        offset 0
    ) as p
    inner join stage_files as f2 using (file_no)
    offset 0
) as m
inner join stage_files as f using (file_no)
