-- What stands in place of a reference, key or code of the customer: the same wherever it stood, and nothing else.
{% macro word(column) -%}
left(encode(sha256(convert_to(cast(:salt as text) || {{ column }}, 'UTF8')), 'hex'), 32)
{%- endmacro %}
