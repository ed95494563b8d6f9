-- Nobody is disturbed at night, too early or too late. One row per message that went out before it was due, or outside
-- its window, or the law's hours as rules.csv has them now, on the customer's local day: in the zone known at that
-- instant, or in any of their country's. Where somebody was who was forgotten since, nobody knows.
{% from "contact/macros.sql" import join_legal_hours, places, zones %}
select distinct
    m.customer_id,
    m.message_key
from ({% include "proof/_went_out.sql" %}) as m
left join shop.customer_versions as c
    on c.customer_id = m.customer_id and c.known_at <= m.went_at and c.superseded_at > m.went_at
left join {{ places() }} as place on place.country = c.country
cross join unnest({{ zones("c", "place") }}) as p (zone)
cross join lateral (select m.went_at at time zone p.zone as local_time) as t
{{ join_legal_hours("law", "c", "m.channel", "cast(t.local_time as date)") }}
where m.went_at < m.due_at
    or (
        c.customer_id is not null
        and (
            cast(t.local_time as time) < greatest(m.window_start, law.earliest)
            or cast(t.local_time as time) >= least(m.window_end, law.latest)
        )
    )
