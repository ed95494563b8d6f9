-- One row per card in no export whose customer must not get it any more, as known at :known_by: they may not be
-- contacted by post, their entry has ended, or they ordered. The card is deleted and its message is planned once more, so that the next
-- claim decides on it again and skips it with the reason.
{% from "contact/macros.sql" import contactable, is_known %}
with withdrawn as (
    delete from delivery.cards as k
    using (
        select
            m.customer_id,
            m.message_key
        from delivery.cards as w
        join delivery.messages as m on m.customer_id = w.customer_id and m.message_key = w.message_key
        left join campaigns.enrolments as e
            on e.customer_id = m.customer_id and e.campaign = m.campaign and e.entry_no = m.entry_no
        left join campaigns.versions as v on v.campaign = m.campaign and v.version = m.version
        left join shop.customer_versions as c
            on c.customer_id = m.customer_id and {{ is_known("c") }}
        where w.exported_in is null
            and m.state = 'accepted'
            and (
                coalesce(e.exit_reason, 'finished') <> 'finished'
                or (
                    coalesce(v.definition -> 'exit_on' @> cast('["order"]' as jsonb), true)
                    and {% include "campaigns/_ordered_since_entry.sql" %}
                )
                or not {{ contactable("c", "'postal'") }}
            )
    ) as d
    where d.customer_id = k.customer_id and d.message_key = k.message_key
    returning k.customer_id, k.message_key
)

update delivery.messages as m
set state = 'planned', reason = 'withdrawn', settled_at = null, claim = null, provider = null, retry_at = null
from withdrawn as k
where k.customer_id = m.customer_id and k.message_key = m.message_key
returning m.customer_id, m.campaign, m.entry_no, m.offer, m.state
