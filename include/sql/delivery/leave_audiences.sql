-- One row per member who belongs in an audience no longer, as known by then, with the reason; in a file or not.
{% from "contact/macros.sql" import why_not_contactable %}
update delivery.audience_members as m
set left_at = :known_by,
    left_reason = d.reason
from (
    select
        a.customer_id,
        a.message_key,
        {% include "delivery/_left_audience.sql" %} as reason
    from delivery.audience_members as a
    left join campaigns.enrolments as e
        on e.customer_id = a.customer_id and e.campaign = a.campaign and e.entry_no = a.entry_no
    left join shop.customer_versions as c
        on c.customer_id = a.customer_id and c.known_at <= :known_by and c.superseded_at > :known_by
    where a.left_at is null and a.kept_at <= :known_by
) as d
where d.customer_id = m.customer_id and d.message_key = m.message_key and d.reason is not null
returning m.customer_id
