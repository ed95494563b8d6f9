-- name: coupons_to_export
-- One row per coupon of which the last export said something else, or nothing. Reserved ones are exported too, since a
-- customer may use a code the minute it is issued; redeemed ones are not, since the shop knows of them. With what its
-- offer says, and when a code that is reserved ends at the latest: should no later file reach the shop, it ends then.
select
    p.customer_id,
    p.campaign,
    p.entry_no,
    p.offer,
    p.code,
    p.state,
    p.percent,
    p.expires_at,
    p.terms,
    case
        when p.state = 'reserved'
            then (
                select
                    max(date_add(
                        m.expires_at,
                        cast(v.definition #>> array['offers', p.offer, 'valid_for'] as interval),
                        cast(:shop_zone as text)
                    ))
                from delivery.messages as m
                join campaigns.versions as v on v.campaign = m.campaign and v.version = m.version
                where m.customer_id = p.customer_id
                    and m.campaign = p.campaign
                    and m.entry_no = p.entry_no
                    and m.offer = p.offer
                    and m.state = 'planned'
            )
        else p.expires_at
    end as ends
from offers.coupons as p
left join offers.coupon_exports as e
    on e.customer_id = p.customer_id and e.campaign = p.campaign and e.entry_no = p.entry_no and e.offer = p.offer
where p.state in ('reserved', 'issued', 'void')
    and (e.state is distinct from p.state or e.expires_at is distinct from p.expires_at)
    and (e.customer_id is not null or p.state <> 'void')
order by p.campaign, p.customer_id, p.entry_no, p.offer;

-- name: record_coupon_exports
-- One row per coupon that is exported now.
insert into offers.coupon_exports (customer_id, campaign, entry_no, offer, state, expires_at, exported_at)
select u.customer_id, u.campaign, u.entry_no, u.offer, u.state, u.expires_at, cast(:exported_at as timestamptz)
from
    unnest(
        cast(:customer_ids as bigint[]),
        cast(:campaigns as text[]),
        cast(:entry_nos as integer[]),
        cast(:offers as text[]),
        cast(:states as text[]),
        cast(:expires_ats as timestamptz[])
    ) as u (customer_id, campaign, entry_no, offer, state, expires_at)
on conflict (customer_id, campaign, entry_no, offer) do update
    set state = excluded.state, expires_at = excluded.expires_at, exported_at = excluded.exported_at
returning customer_id;
