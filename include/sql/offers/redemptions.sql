{% from "offers/macros.sql" import redeem %}

-- name: coupons_of
-- One row per coupon with one of :codes. A code is one customer's; two with the same are not told apart.
select customer_id, code
from offers.coupons
where code = any(cast(:codes as text[]));

-- name: redeem_ordered
-- One row per order that came with a coupon code of its customer, was not cancelled, and is new here: redeemed, or why
-- not. As known at :now; nothing that became known later. Coupons whose time was over by :since are looked at no more.
{% call redeem() -%}
from offers.coupons as p
inner join lateral (
    select
        o.order_ref,
        min(o.source) as source,
        min(o.ordered_at) as redeemed_at,
        min(o.known_at) as known_at
    from shop.order_versions as o
    where o.customer_id = p.customer_id
        and o.coupon_code is not null
        and upper(btrim(o.coupon_code)) = p.code
        and o.status <> 'cancelled'
        and o.known_at <= cast(:now as timestamptz)
    group by o.order_ref
) as u on true
where (p.expires_at > :since or (p.expires_at is null and p.reserved_on > cast(:since as date)))
{%- endcall %};

-- name: redeem_reported
-- One row per use of a coupon that the shop's own system reports and that is new here: redeemed, or why not.
{% call redeem() -%}
from offers.coupons as p
inner join (
    select
        t.*,
        'shop' as source,
        cast(:known_at as timestamptz) as known_at
    from unnest(
        cast(:customer_ids as bigint[]), cast(:codes as text[]), cast(:order_refs as text[]),
        cast(:redeemed_ats as timestamptz[])
    ) as t (customer_id, code, order_ref, redeemed_at)
) as u on u.customer_id = p.customer_id and u.code = p.code
where p.code is not null
{%- endcall %};

-- name: redeem
-- One row per coupon that is redeemed from now on: those of :customer_ids with a redemption that counted.
update offers.coupons as p
set state = 'redeemed'
from offers.redemptions as r
where p.customer_id = any(cast(:customer_ids as bigint[]))
    and r.customer_id = p.customer_id
    and r.code = p.code
    and r.outcome = 'redeemed'
    and p.state = 'issued'
returning p.customer_id;

-- name: redemption_outcomes
-- One row per use of a coupon that we know of, among those asked for: what became of it.
select r.code, r.order_ref, r.outcome
from unnest(
    cast(:customer_ids as bigint[]), cast(:codes as text[]), cast(:order_refs as text[])
) as u (customer_id, code, order_ref)
inner join offers.redemptions as r
    on r.customer_id = u.customer_id and r.code = u.code and r.order_ref = u.order_ref;
