-- Typed consent rows. A withdrawal by a wrong clock is kept: it counts from the landing on. A grant dated after the
-- landing, within the day that a clock may run fast, counts from the start of the day: when it was given is doubtful, and
-- any withdrawal of that day wins.
insert into stage_consents
select
    file_no,
    row_no,
    row_count,
    customer_ref,
    shop.customer_id(:namespace, customer_ref),
    purpose,
    channel,
    is_granted,
    basis,
    origin,
    text_version,
    updated_at,
    greatest(not_before, coalesce(
        known_at,
        case when is_changed_wrongly then landed_at else {% include "orders/stage/_midnight_after.sql" %} end
    )),
    rule,
    case when rule = 'key_too_long' then left(purpose, 200) when rule is not null then cast(told_updated_at as text) end,
    case when rule <> 'key_too_long' and not is_granted then landed_at end
from (
    select
        *,
        case
            when octet_length(purpose) > 1000 then 'key_too_long'
            when is_changed_wrongly then
                {% with told = "told_updated_at", future = "changed_in_the_future" %}{% include "orders/stage/_broken_by.sql" %}{% endwith %}
        end as rule
    from (
        select
            p.file_no,
            p.row_no,
            cast({{ row_count }} as bigint) as row_count,
            p.customer_ref,
            p.purpose,
            p.channel,
            p.is_granted,
            coalesce({{ basis }}, 'consent') as basis,
            {{ origin }} as origin,
            {{ text_version }} as text_version,
            cast(p.updated_at as timestamptz) as told_updated_at,
            (cast(p.updated_at as timestamptz) between timestamptz '1970-01-01 00:00:00+00' and f.newest_at) is not true
            as is_changed_wrongly,
            case
                when cast(p.updated_at as timestamptz) between timestamptz '1970-01-01 00:00:00+00' and f.landed_at
                    then cast(p.updated_at as timestamptz)
                when p.is_granted then coalesce(f.starts_at, f.landed_at - interval '1 day')
                else f.landed_at
            end as updated_at,
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
