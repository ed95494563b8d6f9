-- name: answers
-- One row: the database answers, and has what this service writes to.
select count(*) as tables
from information_schema.tables
where table_schema = 'events' and table_name = 'received';

-- name: store
-- One row per event that is new. One that came before, in whatever request, is left as it is.
insert into events.received (
    customer_id, event_key, provider, message_key, kind, detail, link, agent, provider_id, occurred_at, received_at,
    applied_at
)
select
    u.customer_id,
    u.event_key,
    u.provider,
    u.message_key,
    u.kind,
    u.detail,
    u.link,
    u.agent,
    u.provider_id,
    u.occurred_at,
    u.received_at,
    case when u.message_key is null then u.received_at end
from
    unnest(
        cast(:customer_ids as bigint[]), cast(:event_keys as text[]), cast(:message_keys as text[]),
        cast(:kinds as text[]), cast(:details as text[]), cast(:links as text[]), cast(:agents as text[]),
        cast(:provider_ids as text[]), cast(:occurred_ats as timestamptz[]), cast(:providers as text[]),
        cast(:received_ats as timestamptz[])
    ) as u (
        customer_id, event_key, message_key, kind, detail, link, agent, provider_id, occurred_at, provider, received_at
    )
on conflict (customer_id, event_key) do nothing
returning customer_id, event_key;

-- name: waiting
-- How many events still wait for their message.
select count(*) as events
from events.received
where applied_at is null;

-- name: take
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
returning e.customer_id;

-- name: waits_for_worker
-- Whether an event waits for a message that is still being attempted: its worker lives, or has died.
select exists (
    select from events.received as e
    inner join delivery.messages as m on m.customer_id = e.customer_id and m.message_key = e.message_key
    where e.applied_at is null and m.state = 'attempting'
) as waits;

-- name: give_up
-- One row per event that waited too long for a message that never came: it is kept, and looked at no more.
update events.received as e
set applied_at = cast(:now as timestamptz)
where e.applied_at is null
    and e.received_at < :before
    and not exists (
        select from delivery.messages as m where m.customer_id = e.customer_id and m.message_key = e.message_key
    )
returning e.customer_id;
