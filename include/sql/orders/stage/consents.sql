-- Typed consent rows.
insert into stage_consents
select
    p.file_no,
    p.row_no,
    {{ row_count }},
    p.customer_ref,
    shop.customer_id(:namespace, p.customer_ref),
    p.purpose,
    p.channel,
    p.is_granted,
    coalesce({{ basis }}, 'consent'),
    {{ origin }},
    {{ text_version }},
    cast(p.updated_at as timestamptz),
    coalesce(
        f.known_at, cast(cast(cast(p.updated_at as timestamptz) at time zone :shop_zone as date) + 1 as timestamp) at time zone :shop_zone
    )
from (
    {{ mapping }}
    offset 0
) as p
inner join stage_files as f using (file_no)
