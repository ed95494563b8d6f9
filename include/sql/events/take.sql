-- One row per event taken into :batch: the oldest whose message is there. A message that is being attempted belongs to
-- its worker: what is reported of it waits until that has settled it, or is known to be dead.
with fitting as (
    select e.customer_id, e.event_key
    from events.received as e
    inner join delivery.messages as m on m.customer_id = e.customer_id and m.message_key = e.message_key
    where e.applied_at is null and m.state <> 'attempting'
    order by e.received_at
    limit :size
)

update events.received as e
set batch = cast(:batch as uuid), applied_at = cast(:now as timestamptz)
from fitting as f
where f.customer_id = e.customer_id and f.event_key = e.event_key and e.applied_at is null
returning e.customer_id
