-- Writes what becomes of the uses of coupons that are new here. The uses: select p.*, u.* of a coupon p and an order u
-- that carried it, filled in by a set uses. In order of when we could know of them.
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
        {{ uses }}
            and not exists (
                select from campaigns.redemptions as r
                where r.customer_id = p.customer_id and r.code = p.code and r.order_ref = u.order_ref
            )
    ) as v
) as w
on conflict (customer_id, code, order_ref) do nothing
returning customer_id, outcome
