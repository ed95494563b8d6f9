-- One row per order that came with a coupon code of its customer, was not cancelled, and is new here: redeemed, or why
-- not. As known at :now; nothing that became known later. Coupons whose time was over by :since are looked at no more.
{% set uses %}
from campaigns.coupons as p
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
{% endset %}
{% include "events/_redeem.sql" %}
