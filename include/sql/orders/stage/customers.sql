-- Typed customer rows. A time zone that PostgreSQL does not know is none at all; then the shop's counts.
insert into stage_customers
select
    file_no,
    row_no,
    row_count,
    customer_id,
    namespace,
    customer_ref,
    email,
    phone,
    first_name,
    last_name,
    language,
    country,
    zones.name,
    household_ref,
    registered_at,
    street,
    postal_code,
    city,
    updated_at,
    greatest(not_before, coalesce(known_at, {% include "orders/stage/_midnight_after.sql" %})),
    case
        when is_changed_wrongly then
            {% with told = "told_updated_at", future = "changed_in_the_future" %}{% include "orders/stage/_broken_by.sql" %}{% endwith %}
        when is_registered_wrongly then
            {% with told = "registered_at", future = "registered_in_the_future" %}{% include "orders/stage/_broken_by.sql" %}{% endwith %}
    end,
    case
        when is_changed_wrongly then cast(told_updated_at as text)
        when is_registered_wrongly then cast(registered_at as text)
    end,
    null
from (
    select
        *,
        (told_updated_at between timestamptz '1970-01-01 00:00:00+00' and newest_at) is not true as is_changed_wrongly,
        registered_at not between timestamptz '1970-01-01 00:00:00+00' and newest_at as is_registered_wrongly,
        case
            when told_updated_at between timestamptz '1970-01-01 00:00:00+00' and landed_at then told_updated_at
            else landed_at
        end as updated_at
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
            lower({{ time_zone }}) as time_zone,
            {{ household_ref }} as household_ref,
            cast({{ registered_at }} as timestamptz) as registered_at,
            {{ street }} as street,
            {{ postal_code }} as postal_code,
            {{ city }} as city,
            cast(coalesce({{ updated_at }}, f.starts_at, {{ registered_at }}) as timestamptz) as told_updated_at,
            f.known_at,
            f.not_before,
            f.landed_at,
            f.newest_at
        from (
            {{ mapping }}
            offset 0
        ) as p
        inner join stage_files as f using (file_no)
        offset 0
    ) as told
    offset 0
) as judged
left join (
    select lower(z.name) as lower_name, min(z.name) as name
    from pg_timezone_names as z
    group by lower(z.name)
) as zones on zones.lower_name = judged.time_zone
