-- Joins law: the hours on a local day in which the law of customer c's country lets somebody write on a channel; of
-- unknown where it has no rule then. Null: no limit. Inside a with channel = "...", on_day = "...": expressions.
left join shop.law as r
    on r.country = c.country
    and r.channel = {{ channel }}
    and daterange(r.valid_from, r.valid_until) @> {{ on_day }}
left join shop.law as u
    on u.country = 'unknown'
    and u.channel = {{ channel }}
    and daterange(u.valid_from, u.valid_until) @> {{ on_day }}
cross join lateral (
    select
        case when r.country is null then u.earliest else r.earliest end as earliest,
        case when r.country is null then u.latest else r.latest end as latest
) as law
