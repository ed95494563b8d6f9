-- The ground on which the law lets customer c be written to on a channel, as known at known_by: the rule of their
-- country, or the one for unknown where it has none, that holds on their local day. Null: no rule.
(
    select r.basis
    from shop.law as r
    where r.channel = {{ channel }}
        and r.country in (c.country, 'unknown')
        and daterange(r.valid_from, r.valid_until) @> cast(
            cast(:known_by as timestamptz) at time zone ({% include "campaigns/_zone.sql" %}) as date
        )
    order by r.country = 'unknown'
    limit 1
)
