-- The digest under which an address stands in shop.erased: HMAC-SHA256 by the secret's two pads, so that the secret
-- itself never reaches the database. `kind` is a word, `value` an expression.
{% macro digest(kind, value) -%}
sha256(cast(:outer_pad as bytea) || sha256(cast(:inner_pad as bytea) || convert_to(
    concat_ws(chr(31), 'erased', '{{ kind }}', {{ value }}), 'UTF8'
)))
{%- endmacro %}

-- The e-mail address of the customer `c` as it is compared.
{% macro compared_email(c) -%}
lower(trim({{ c }}.email))
{%- endmacro %}

-- The number of the customer `c` as it is compared.
{% macro compared_phone(c) -%}
regexp_replace({{ c }}.phone, '[^0-9+]', '', 'g')
{%- endmacro %}
