-- Nobody is written to without a ground in law. One row per message that went out although, as known at that instant,
-- the customer had neither agreed, nor bought where that is enough, nor lives where nothing is needed until they object;
-- by the rules as rules.csv has them now. Said here once more, not asked of the macro that the claim asks.
-- Of people who were forgotten since, nobody knows.
select
    m.customer_id,
    m.message_key
from ({% include "proof/_went_out.sql" %}) as m
left join shop.customer_versions as c
    on c.customer_id = m.customer_id and c.known_at <= m.went_at and c.superseded_at > m.went_at
cross join lateral (
    select cast(m.went_at at time zone coalesce(c.time_zone, cast(:shop_zone as text)) as date) as local_date
) as d
left join shop.law as own
    on own.country = c.country
    and own.channel = m.channel
    and daterange(own.valid_from, own.valid_until) @> d.local_date
left join shop.law as other
    on other.country = 'unknown'
    and other.channel = m.channel
    and daterange(other.valid_from, other.valid_until) @> d.local_date
cross join lateral (select coalesce(own.basis, other.basis) as basis) as law
left join shop.consent_versions as k
    on k.customer_id = m.customer_id
    and k.channel = m.channel
    and k.purpose = 'marketing'
    and k.known_at <= m.went_at
    and k.superseded_at > m.went_at
where exists (select from shop.customers as known where known.customer_id = m.customer_id)
    and not coalesce(k.is_granted and k.basis = 'consent', false)
    and not coalesce(law.basis = 'legitimate_interest' and coalesce(k.is_granted, true), false)
    and not (
        coalesce(k.is_granted and law.basis = 'soft_opt_in', false)
        and exists (
            select from shop.order_versions as o
            where o.customer_id = m.customer_id
                and o.status = 'complete'
                and o.known_at <= m.went_at
                and o.superseded_at > m.went_at
        )
    )
