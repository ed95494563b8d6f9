-- One row per landed row of a customer who was erased: it goes, and a rejection takes its place.
with gone as (
    delete from {{ table }} as landed
    where {% include "orders/erased/_is_erased.sql" %}
    returning landed.load_key, landed.file_no, landed.row_no
)

{% include "orders/erased/_reject.sql" %}
