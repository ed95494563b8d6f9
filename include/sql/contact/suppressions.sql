{% from "contact/macros.sql" import channel_kinds, compared_email, compared_phone, digest, with_same_address %}

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
            and s.via = 'self'
            and s.lifted_at is null
    )
group by u.customer_id, u.channel, u.reason
on conflict (customer_id, channel, reason, via, known_at) do nothing
returning customer_id, known_at;

-- name: share
-- One row per suppression that is new: what holds for an e-mail address or a number holds for every profile with it. A
-- suppression of one profile is shared on the channels that the address reaches, and known from when both are. Of the
-- customers in `which` and all with an address of theirs.
with holders as (
    {{ with_same_address(which) }}
),

said as (
    select h.via, h.address, s.channel, s.reason, min(greatest(s.known_at, h.known_at)) as known_at
    from holders as h
    inner join shop.suppressions as s on s.customer_id = h.customer_id
    where s.lifted_at is null and s.via in ('self', h.via)
    group by h.via, h.address, s.channel, s.reason
)

insert into shop.suppressions (customer_id, channel, reason, via, known_at)
select
    h.customer_id,
    r.channel,
    said.reason,
    h.via,
    min(greatest(said.known_at, h.known_at, cast(:known_at as timestamptz)))
from said
inner join holders as h on h.via = said.via and h.address = said.address
inner join {{ channel_kinds() }} as r (channel, kind)
    on said.via = any(string_to_array(r.kind, '_or_')) and said.channel in (r.channel, 'all')
where
    not exists (
        select from shop.suppressions as s
        where s.customer_id = h.customer_id
            and s.channel in (r.channel, 'all')
            and s.reason = said.reason
            and s.lifted_at is null
    )
group by h.customer_id, r.channel, said.reason, h.via
on conflict (customer_id, channel, reason, via, known_at) do nothing
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
-- One row per suppression lifted: those by a text, STOP, of customers who now wrote START, and what others with an
-- address of theirs share of it. No other reason is lifted.
update shop.suppressions as s
set lifted_at = cast(:known_at as timestamptz)
where s.reason = 'stopped'
    and s.lifted_at is null
    and (
        s.customer_id = any(cast(:customer_ids as bigint[]))
        or s.via <> 'self'
        and s.customer_id in (
            select h.customer_id
            from ({{ with_same_address("select unnest(cast(:customer_ids as bigint[]))") }}) as h
        )
    )
returning s.customer_id;

-- name: with_phone
-- One row per customer who has this number, or had it: a STOP is of the person whom we wrote to.
select distinct c.customer_id
from shop.customer_versions as c
where c.phone = :phone
order by c.customer_id;
