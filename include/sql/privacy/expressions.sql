{% from "privacy/macros.sql" import word %}

-- name: word
-- What stands in place of a reference, key or code of the customer: the same wherever it stood, and nothing else.
{{ word(column) }};

-- name: coupon_code
-- The code of an order t: another where it was the customer's own, as it was where everybody could have it.
case
    when exists (
        select from offers.coupons as p
        where p.customer_id = t.customer_id and p.code = t.coupon_code
    ) then {{ word("t.coupon_code") }}
    else t.coupon_code
end;
