-- One row per suppression that is new: of customers whom nobody may write to any more, since the provider refused their
-- number for good.
insert into shop.suppressions (customer_id, channel, reason, known_at)
select distinct
    u.customer_id,
    u.channel,
    u.reason,
    cast(:now as timestamptz)
from unnest(
    cast(:customer_ids as bigint[]), cast(:channels as text[]), cast(:reasons as text[])
) as u (customer_id, channel, reason)
where not exists (
    select from shop.suppressions as s
    where s.customer_id = u.customer_id
        and s.channel = u.channel
        and s.reason = u.reason
        and s.lifted_at is null
)
on conflict (customer_id, channel, reason, known_at) do nothing
returning customer_id
