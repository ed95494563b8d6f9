-- The first instant in [:from, :until), after :after, at which a planned message can be decided on: the first moment
-- of its window that it is due, or its expiry. Each message has an instant of its own, whatever the others do, so
-- playing a day in one go or in two halves gives the same.
select min(i.instant) as instant
from (
    select
        least(
            greatest(e.expires_at, cast(:from as timestamptz)),
            case
                when cast(e.earliest at time zone e.zone as time) < e.window_start
                    then (cast(e.earliest at time zone e.zone as date) + e.window_start) at time zone e.zone
                when cast(e.earliest at time zone e.zone as time) < e.window_end then e.earliest
                else (cast(e.earliest at time zone e.zone as date) + 1 + e.window_start) at time zone e.zone
            end
        ) as instant
    from (
        select
            m.expires_at,
            m.window_start,
            m.window_end,
            greatest(m.due_at, coalesce(m.retry_at, m.due_at), cast(:from as timestamptz)) as earliest,
            {% include "delivery/_zone.sql" %} as zone
        from delivery.messages as m
        left join shop.customer_versions as c
            on c.customer_id = m.customer_id and c.known_at <= :from and c.superseded_at > :from
        where m.state = 'planned' and m.due_at < :until
    ) as e
) as i
where i.instant >= :from and i.instant < :until and (cast(:after as timestamptz) is null or i.instant > :after)
