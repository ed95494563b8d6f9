-- What stands in place of a reference, key or code of the customer: the same wherever it stood, and nothing else.
{% macro word(column) -%}
    left(encode(sha256(convert_to(cast(:salt as text) || {{ column }}, 'UTF8')), 'hex'), 32)
{%- endmacro %}

-- The code of an order: another where it was the customer's own, as it was where everybody could have it.
{% macro coupon_code(t) -%}
    case
        when exists (
            select from offers.coupons as p
            where p.customer_id = {{ t }}.customer_id and p.code = {{ t }}.coupon_code
        ) then {{ word(t ~ ".coupon_code") }}
        else {{ t }}.coupon_code
    end
{%- endmacro %}
