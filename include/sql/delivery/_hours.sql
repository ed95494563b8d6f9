-- Joins h: the zones where customer c may be, the earliest and the latest local time there at now (one time, where their
-- zone is known), and the window of message m, cut with the hours of the law.
left join (
    select w.country, w.zones, t.earliest, t.latest
    from ({% include "campaigns/_places.sql" %}) as w
    cross join lateral (
        select
            min(cast(:now as timestamptz) at time zone p.zone) as earliest,
            max(cast(:now as timestamptz) at time zone p.zone) as latest
        from unnest(w.zones) as p (zone)
    ) as t
) as z on z.country = c.country
cross join lateral (
    select case
        when z.country is null or c.time_zone = any(cast(:zones as text[]))
            then cast(:now as timestamptz) at time zone ({% include "campaigns/_zone.sql" %})
    end as only_time
) as t
cross join lateral (
    select
        {% include "campaigns/_zones.sql" %} as zones,
        coalesce(t.only_time, z.earliest) as earliest,
        coalesce(t.only_time, z.latest) as latest
) as i
{% with channel = "m.channel", on_day = "cast(i.earliest as date)" %}{% include "campaigns/_rule.sql" %}{% endwith %}
cross join lateral (
    select
        i.*,
        greatest(m.window_start, law.earliest) as opens,
        least(m.window_end, law.latest) as closes
) as h
