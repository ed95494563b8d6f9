{% from "contact/macros.sql" import compared_email, compared_phone, digest %}

-- name: suppress
-- One row per suppression that is new: per person, so whoever is suppressed for that reason already is left alone.
insert into shop.suppressions (customer_id, channel, reason, known_at)
select
    u.customer_id,
    u.channel,
    u.reason,
    min(u.known_at)
from
    unnest(
        cast(:customer_ids as bigint[]), cast(:channels as text[]), cast(:reasons as text[]),
        cast(:known_ats as timestamptz[])
    ) as u (customer_id, channel, reason, known_at)
where
    not exists (
        select from shop.suppressions as s
        where s.customer_id = u.customer_id
            and s.channel = u.channel
            and s.reason = u.reason
            and s.lifted_at is null
    )
group by u.customer_id, u.channel, u.reason
on conflict (customer_id, channel, reason, known_at) do nothing
returning customer_id, known_at;

-- name: suppress_erased
-- One row per customer with an address or a number of somebody who was erased, under a reference of their own: nobody
-- is to be written to there. Of those in this load, or of all.
insert into shop.suppressions (customer_id, channel, reason, known_at)
select
    c.customer_id,
    'all',
    'erased',
    coalesce(cast(:known_at as timestamptz), c.known_at)
from shop.customers as c
where {{ which }}
    and exists (
        select from shop.erased as e
        where
            e.digest in (
                {{ digest("email", compared_email("c")) }},
                {{ digest("phone", compared_phone("c")) }}
            )
    )
    and not exists (
        select from shop.suppressions as s
        where s.customer_id = c.customer_id and s.channel = 'all' and s.reason = 'erased' and s.lifted_at is null
    )
on conflict do nothing
returning customer_id;

-- name: suppress_forgotten
-- From now on nobody writes to this customer, whatever becomes of the rest.
insert into shop.suppressions (customer_id, channel, reason, known_at)
select cast(:customer_id as bigint), 'all', 'erased', :now
where
    not exists (
        select from shop.suppressions as s
        where s.customer_id = :customer_id and s.channel = 'all' and s.reason = 'erased' and s.lifted_at is null
    )
on conflict do nothing;

-- name: lift_stopped
-- One row per suppression lifted: those by a text, STOP, of customers who now wrote START. No other reason is lifted.
update shop.suppressions as s
set lifted_at = cast(:known_at as timestamptz)
where s.customer_id = any(cast(:customer_ids as bigint[]))
    and s.reason = 'stopped'
    and s.lifted_at is null
returning s.customer_id;

-- name: with_phone
-- One row per customer who has this number, or had it: a STOP is of the person whom we wrote to.
select distinct c.customer_id
from shop.customer_versions as c
where c.phone = :phone
order by c.customer_id;
