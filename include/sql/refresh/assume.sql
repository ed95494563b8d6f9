-- Of a rehearsal, which is undone: the selection holds those computed from :day on.
insert into selections.membership (selection, customer_id, entered_on)
select :selection, w.customer_id, :day
from {{ computed }} as w
