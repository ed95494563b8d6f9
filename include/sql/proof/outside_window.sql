-- Nobody is disturbed at night, too early or too late. One row per message that went out before it was due, after it
-- had expired, or outside its window of the customer's local day, in the zone known at that instant.
select
    m.customer_id,
    m.message_key
from delivery.messages as m
left join shop.customer_versions as c
    on c.customer_id = m.customer_id and c.known_at <= m.attempted_at and c.superseded_at > m.attempted_at
where {% include "proof/_went_out.sql" %}
    and (
        m.attempted_at < m.due_at
        or m.attempted_at >= m.expires_at
        or cast(m.attempted_at at time zone ({% include "delivery/_zone.sql" %}) as time) < m.window_start
        or cast(m.attempted_at at time zone ({% include "delivery/_zone.sql" %}) as time) >= m.window_end
    )
