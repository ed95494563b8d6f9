-- One row per order that came with a coupon code of its customer, was not cancelled, and is new here: redeemed, or why
-- not. As known at :now; nothing that became known later. Coupons whose time was over by :since are looked at no more.
insert into campaigns.redemptions (
    customer_id, code, order_ref, source, campaign, entry_no, offer, outcome, redeemed_at, known_at
)
select
    w.customer_id,
    w.code,
    w.order_ref,
    w.source,
    w.campaign,
    w.entry_no,
    w.offer,
    {% include "events/_outcome.sql" %},
    w.redeemed_at,
    w.known_at
from (
    select
        v.*,
        row_number() over (
            partition by v.customer_id, v.code, v.why_not is null order by v.known_at, v.redeemed_at, v.order_ref
        ) as place
    from (
        select
            p.customer_id,
            p.code,
            p.campaign,
            p.entry_no,
            p.offer,
            u.order_ref,
            u.source,
            u.redeemed_at,
            u.known_at,
            {% include "events/_why_not_redeemed.sql" %} as why_not
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
            and not exists (
                select from campaigns.redemptions as r
                where r.customer_id = p.customer_id and r.code = p.code and r.order_ref = u.order_ref
            )
    ) as v
) as w
on conflict (customer_id, code, order_ref) do nothing
returning customer_id, outcome
