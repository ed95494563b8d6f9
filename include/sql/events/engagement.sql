{% from "events/macros.sql" import is_machine %}

-- name: engage
-- One row per customer of :batch whose engagement changed. It is computed from all events of the customer, since a
-- later event can show that an earlier click was a machine's: so the order of events does not matter.
-- tracked_since is the day of the first e-mail whose reports, or click, reach us: where nobody reports, nobody becomes
-- inactive. Opens prove nothing, mail programs load images by themselves: only clicks of people are interest.
insert into shop.engagement as g (customer_id, tracked_since, last_engaged_on, known_at)
select
    h.customer_id,
    min(h.day) as tracked_since,
    max(h.day) filter (where h.is_interest) as last_engaged_on,
    max(h.received_at) as known_at
from (
    select
        e.customer_id,
        e.received_at,
        cast(e.occurred_at at time zone cast(:shop_zone as text) as date) as day,
        e.kind = 'click' and not {{ is_machine("e") }} as is_interest
    from events.received as e
    where e.provider in ('sendgrid', 'retention')
        and e.batch is not null
        and e.kind not in ('dropped', 'bounce', 'deferred')
        and exists (
            select from events.received as b
            where b.customer_id = e.customer_id and b.batch = cast(:batch as uuid)
        )
) as h
group by h.customer_id
on conflict (customer_id) do update
    set tracked_since = least(g.tracked_since, excluded.tracked_since),
        last_engaged_on = excluded.last_engaged_on,
        known_at = excluded.known_at
    where g.tracked_since > excluded.tracked_since or g.last_engaged_on is distinct from excluded.last_engaged_on
returning customer_id;

-- name: clicks
-- One row per message of :batch that was clicked: when a person first did, if one did. A later event can show that a
-- click was a machine's.
select
    e.customer_id,
    e.message_key,
    min(e.occurred_at) filter (where not {{ is_machine("e") }}) as clicked_at
from events.received as e
where e.kind = 'click'
    and e.batch is not null
    and exists (
        select from events.received as b
        where b.customer_id = e.customer_id
            and b.message_key = e.message_key
            and b.batch = cast(:batch as uuid)
    )
group by e.customer_id, e.message_key;

-- name: language
-- The language of a customer, none if there is no such customer.
select language
from shop.customers
where customer_id = :customer_id;
