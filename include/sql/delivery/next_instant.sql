-- The first instant in [:from, :until), after :after, at which a planned message can be decided on: the first moment
-- of its window that it is due, or its expiry. Each message has an instant of its own, whatever the others do, so
-- playing a day in one go or in two halves gives the same. A window is open while it is in all zones where the customer
-- may be; a message without one is decided on at once.
-- Many messages share a place, a window and a time: each of these is looked at once.
{% from "contact/macros.sql" import is_known, join_legal_hours, places, zones %}
select min(i.instant) as instant
from (
    select
        least(
            greatest(c.expires_at, cast(:from as timestamptz)),
            min(
                case
                    when w.opens_at >= w.closes_at and k.days = 0 then c.earliest
                    when w.opens_at < w.closes_at and w.closes_at > c.earliest then greatest(w.opens_at, c.earliest)
                end
            )
        ) as instant
    from (
        select distinct
            c.country,
            c.time_zone,
            m.channel,
            m.window_start,
            m.window_end,
            m.expires_at,
            -- Later than :until is of no interest, and may be later than anybody can reckon.
            least(
                greatest(m.due_at, coalesce(m.retry_at, m.due_at), cast(:from as timestamptz)), cast(:until as timestamptz)
            ) as earliest
        from delivery.messages as m
        left join shop.customer_versions as c
            on c.customer_id = m.customer_id and {{ is_known("c", ":from") }}
        where m.state = 'planned' and m.due_at < :until
    ) as c
    left join {{ places() }} as place on place.country = c.country
    cross join generate_series(0, 2) as k (days)
    cross join lateral (select {{ zones("c", "place") }} as zones) as e
    cross join lateral (
        select cast(min(c.earliest at time zone p.zone) as date) + k.days as on_day
        from unnest(e.zones) as p (zone)
    ) as d
    {{ join_legal_hours("law", "c", "c.channel", "d.on_day") }}
    cross join lateral (
        select
            max((d.on_day + greatest(c.window_start, law.earliest)) at time zone p.zone) as opens_at,
            min((d.on_day + least(c.window_end, law.latest)) at time zone p.zone) as closes_at
        from unnest(e.zones) as p (zone)
    ) as w
    group by c.country, c.time_zone, c.channel, c.window_start, c.window_end, c.expires_at, c.earliest
) as i
where i.instant >= :from and i.instant < :until and (cast(:after as timestamptz) is null or i.instant > :after)
