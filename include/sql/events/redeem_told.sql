-- One row per use of a coupon that the shop's own system tells of and that is new here: redeemed, or why not.
{% set uses %}
from campaigns.coupons as p
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
{% endset %}
{% include "events/_redeem.sql" %}
