-- One row per landed line of the orders given, whose customer was erased: it goes, and a rejection takes its place.
with gone as (
    delete from {{ table }} as landed
    where ({{ order_ref }}) = any(cast(:order_refs as text[]))
        and (cast(:load_key as text) is null or landed.load_key = :load_key)
    returning landed.load_key, landed.file_no, landed.row_no
)

{% include "orders/erased/_reject.sql" %}
