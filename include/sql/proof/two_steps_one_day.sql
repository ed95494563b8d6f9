-- Nobody gets two steps of one entry on one day. One row per message that went out on the same local date as another step
-- before it, in a zone where the customer may have been then. To be in an audience is no message. Where somebody was who
-- was forgotten since, nobody knows.
{% from "contact/macros.sql" import places, zones %}
select distinct
    m.customer_id,
    m.message_key
from ({% include "proof/_went_out.sql" %}) as m
inner join ({% include "proof/_went_out.sql" %}) as earlier
    on earlier.customer_id = m.customer_id
    and earlier.campaign = m.campaign
    and earlier.entry_no = m.entry_no
    and earlier.step <> m.step
    and (earlier.went_at, earlier.message_key) < (m.went_at, m.message_key)
inner join shop.customer_versions as c
    on c.customer_id = m.customer_id and c.known_at <= m.went_at and c.superseded_at > m.went_at
left join {{ places() }} as place on place.country = c.country
cross join unnest({{ zones("c", "place") }}) as p (zone)
where m.channel <> 'audience'
    and earlier.channel <> 'audience'
    and cast(earlier.went_at at time zone p.zone as date) = cast(m.went_at at time zone p.zone as date)
