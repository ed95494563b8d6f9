-- Nobody is shown ads who has bought, must not be, or whose days are over. One row per person who stands in an exported
-- audience although we knew that they no longer belong there, at least a day ago.
{% from "contact/macros.sql" import why_not_contactable %}
select
    a.customer_id,
    a.message_key
from delivery.audience_members as a
left join campaigns.enrolments as e
    on e.customer_id = a.customer_id and e.campaign = a.campaign and e.entry_no = a.entry_no
left join shop.customer_versions as c
    on c.customer_id = a.customer_id and c.known_at <= :known_by and c.superseded_at > :known_by
where a.added_in is not null
    and a.removed_in is null
    and a.kept_at <= :known_by
    and ({% include "delivery/_left_audience.sql" %}) is not null
