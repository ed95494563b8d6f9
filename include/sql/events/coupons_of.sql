-- One row per coupon with one of :codes. A code is one customer's; two with the same are not told apart.
select customer_id, code
from campaigns.coupons
where code = any(cast(:codes as text[]))
