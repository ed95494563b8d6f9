-- Takes those who left out of the selection's table.
delete from {{ table }} as t
where not exists (select from {{ work }} as w where w.customer_id = t.customer_id)
