-- Who has ordered is left alone. One row per message that went out although, at that instant, we knew of an order that
-- ends its enrolment; only campaigns that end on orders.
select
    m.customer_id,
    m.message_key
from ({% include "proof/_went_out.sql" %}) as m
inner join campaigns.enrolments as e
    on e.customer_id = m.customer_id and e.campaign = m.campaign and e.entry_no = m.entry_no
inner join campaigns.versions as v on v.campaign = m.campaign and v.version = m.version
where coalesce(v.definition -> 'exit_on' @> cast('["order"]' as jsonb), true)
    and {% filter replace(":known_by", "m.went_at") %}{% include "campaigns/_ordered_since_entry.sql" %}{% endfilter %}
