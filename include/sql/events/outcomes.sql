-- One row per use of a coupon that we know of, among those asked for: what became of it.
select r.code, r.order_ref, r.outcome
from unnest(
    cast(:customer_ids as bigint[]), cast(:codes as text[]), cast(:order_refs as text[])
) as u (customer_id, code, order_ref)
inner join campaigns.redemptions as r
    on r.customer_id = u.customer_id and r.code = u.code and r.order_ref = u.order_ref
