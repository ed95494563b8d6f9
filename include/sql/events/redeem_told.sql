-- One row per use of a coupon that the shop's own system tells of and that is new here: redeemed, or why not.
insert into campaigns.redemptions (
    customer_id, code, order_ref, source, campaign, entry_no, offer, outcome, redeemed_at, known_at
)
select
    w.customer_id,
    w.code,
    w.order_ref,
    'shop',
    w.campaign,
    w.entry_no,
    w.offer,
    {% include "events/_outcome.sql" %},
    w.redeemed_at,
    cast(:known_at as timestamptz)
from (
    select
        v.*,
        row_number() over (
            partition by v.customer_id, v.code, v.why_not is null order by v.redeemed_at, v.order_ref
        ) as place
    from (
        select
            p.customer_id,
            p.code,
            p.campaign,
            p.entry_no,
            p.offer,
            u.order_ref,
            u.redeemed_at,
            {% include "events/_why_not_redeemed.sql" %} as why_not
        from unnest(
            cast(:customer_ids as bigint[]), cast(:codes as text[]), cast(:order_refs as text[]),
            cast(:redeemed_ats as timestamptz[])
        ) as u (customer_id, code, order_ref, redeemed_at)
        inner join campaigns.coupons as p on p.customer_id = u.customer_id and p.code = u.code
        where not exists (
            select from campaigns.redemptions as r
            where r.customer_id = p.customer_id and r.code = p.code and r.order_ref = u.order_ref
        )
    ) as v
) as w
on conflict (customer_id, code, order_ref) do nothing
returning customer_id, outcome
