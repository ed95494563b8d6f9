-- Takes those who left out of the selection's table.
delete from {{ table }} as t
where not exists (select from selections.work as w where w.selection = :selection and w.customer_id = t.customer_id)
