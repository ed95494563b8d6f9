-- The code of an order t: another where it was the customer's own, as it was where everybody could have it.
case
    when exists (
        select from campaigns.coupons as p
        where p.customer_id = t.customer_id and p.code = t.coupon_code
    ) then {% with column = "t.coupon_code" %}{% include "forgetting/_word.sql" %}{% endwith %}
    else t.coupon_code
end
