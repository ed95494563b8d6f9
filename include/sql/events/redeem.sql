-- One row per coupon that is redeemed from now on: those of :customer_ids with a redemption that counted.
update campaigns.coupons as p
set state = 'redeemed'
from campaigns.redemptions as r
where p.customer_id = any(cast(:customer_ids as bigint[]))
    and r.customer_id = p.customer_id
    and r.code = p.code
    and r.outcome = 'redeemed'
    and p.state = 'issued'
returning p.customer_id
