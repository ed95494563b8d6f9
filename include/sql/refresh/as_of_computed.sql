-- One row per member of a selection, computed for this world only.
create view {{ view }} as
select w.customer_id
from {{ work }} as w
where w.selection = {{ name }}
