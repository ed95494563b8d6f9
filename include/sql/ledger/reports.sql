{% from "ledger/macros.sql" import reason_reported, state_reported %}

-- name: settle_reported
-- One row per message that the events of :batch move: accepted, delivered, bounced, refused, in this order and never
-- back, so the order in which events come does not matter. Not what is being attempted, that is its worker's; not what
-- was skipped. A message still planned was sent nevertheless: the ledger came back from a copy older than the call, or
-- somebody decided to send it again. Evidence keeps it from going out twice.
with reported as (
    select distinct on (e.customer_id, e.message_key)
        e.customer_id,
        e.message_key,
        e.provider,
        e.provider_id,
        e.occurred_at,
        array_position(array['accepted', 'delivered', 'bounced', 'refused'], {{ state_reported("e") }}) as place,
        {{ state_reported("e") }} as state,
        {{ reason_reported("e") }} as reason
    from events.received as e
    where e.batch = cast(:batch as uuid)
    order by e.customer_id, e.message_key, place desc, e.occurred_at, e.event_key
)

update delivery.messages as m
set
    state = r.state,
    reason = r.reason,
    provider = coalesce(m.provider, nullif(r.provider, 'retention')),
    provider_id = coalesce(m.provider_id, r.provider_id),
    settled_at = coalesce(m.settled_at, cast(:now as timestamptz)),
    attempts = greatest(m.attempts, 1),
    attempted_at = coalesce(m.attempted_at, r.occurred_at),
    claim = coalesce(m.claim, cast(:batch as uuid)),
    retry_at = null
from reported as r
where r.customer_id = m.customer_id
    and r.message_key = m.message_key
    and m.state in ('planned', 'unknown', 'accepted', 'delivered', 'bounced')
    and r.place > coalesce(array_position(array['accepted', 'delivered', 'bounced', 'refused'], m.state), 0)
returning m.customer_id, m.campaign, m.entry_no, m.offer, m.state;

-- name: note_clicks
-- One row per message whose first click by a person is another one than was known, or none after all.
update delivery.messages as m
set human_clicked_at = u.clicked_at
from
    unnest(
        cast(:customer_ids as bigint[]), cast(:message_keys as text[]), cast(:clicked_ats as timestamptz[])
    ) as u (customer_id, message_key, clicked_at)
where u.customer_id = m.customer_id
    and u.message_key = m.message_key
    and m.human_clicked_at is distinct from u.clicked_at
returning m.customer_id;
