-- One row per suppression that is new: per person, so whoever is suppressed for that reason already is left alone.
insert into shop.suppressions (customer_id, channel, reason, known_at)
select
    u.customer_id,
    u.channel,
    u.reason,
    min(u.known_at)
from unnest(
    cast(:customer_ids as bigint[]), cast(:channels as text[]), cast(:reasons as text[]),
    cast(:known_ats as timestamptz[])
) as u (customer_id, channel, reason, known_at)
where not exists (
    select from shop.suppressions as s
    where s.customer_id = u.customer_id
        and s.channel = u.channel
        and s.reason = u.reason
        and s.lifted_at is null
)
group by u.customer_id, u.channel, u.reason
on conflict (customer_id, channel, reason, known_at) do nothing
returning customer_id, known_at
