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
from unnest(
    cast(:customer_ids as bigint[]), cast(:event_keys as text[]), cast(:message_keys as text[]), cast(:kinds as text[]),
    cast(:details as text[]), cast(:links as text[]), cast(:agents as text[]), cast(:provider_ids as text[]),
    cast(:occurred_ats as timestamptz[]), cast(:providers as text[]), cast(:received_ats as timestamptz[])
) as u (
    customer_id, event_key, message_key, kind, detail, link, agent, provider_id, occurred_at, provider, received_at
)
on conflict (customer_id, event_key) do nothing
returning customer_id, event_key
