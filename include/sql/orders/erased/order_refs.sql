-- One row per order in landed rows of a customer who was erased.
select distinct ({{ order_ref }}) as order_ref
from {{ table }} as landed
where {% include "orders/erased/_is_erased.sql" %}
