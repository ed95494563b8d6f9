-- What becomes of the use `w` of a coupon: the first that counts, in the order in which we could know of them,
-- redeems it.
{% macro outcome(w) -%}
case
    when {{ w }}.why_not is not null then {{ w }}.why_not
    when {{ w }}.place > 1 or exists (
        select from offers.redemptions as r
        where r.customer_id = {{ w }}.customer_id and r.code = {{ w }}.code and r.outcome = 'redeemed'
    ) then 'redeemed_before'
    else 'redeemed'
end
{%- endmacro %}

-- Why the coupon `p` does not count for the order `u`, in words of offers.redemptions; null if it does. A code is out
-- from the day (in shop_zone) on which the first message with it was handed over: some shops know only the day of an
-- order.
{% macro why_not_redeemed(p, u) -%}
case
    when {{ p }}.state not in ('issued', 'redeemed') or not exists (
        select from delivery.messages as m
        where m.customer_id = {{ p }}.customer_id
            and m.campaign = {{ p }}.campaign
            and m.entry_no = {{ p }}.entry_no
            and m.offer = {{ p }}.offer
            and cast(m.attempted_at at time zone cast(:shop_zone as text) as date)
            <= cast({{ u }}.redeemed_at at time zone cast(:shop_zone as text) as date)
    ) then 'not_issued'
    when {{ u }}.redeemed_at > {{ p }}.expires_at then 'expired'
end
{%- endmacro %}

-- Writes what becomes of the uses of coupons that are new here, in order of when we could know of them. Its caller
-- gives them: from a coupon p and an order u that carried it, with a condition.
{% macro redeem() -%}
insert into offers.redemptions (
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
    {{ outcome("w") }},
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
            {{ why_not_redeemed("p", "u") }} as why_not
        {{ caller() }}
            and not exists (
                select from offers.redemptions as r
                where r.customer_id = p.customer_id and r.code = p.code and r.order_ref = u.order_ref
            )
    ) as v
) as w
on conflict (customer_id, code, order_ref) do nothing
returning customer_id, outcome
{%- endmacro %}
