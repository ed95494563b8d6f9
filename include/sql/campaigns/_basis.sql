-- The ground on which the law lets customer c be written to on a channel, as known at known_by: the rule of their
-- country, or the one for unknown where it has none, that holds on their local day. Null: no rule.
(
    select r.basis
    from shop.rules as r
    where r.channel = {{ channel }}
        and r.country in (c.country, 'unknown')
        and r.valid_from <= cast(
            cast(:known_by as timestamptz) at time zone ({% include "campaigns/_zone.sql" %}) as date
        )
    order by r.country = 'unknown', r.valid_from desc
    limit 1
)
