-- One row per row of the customer in one table: gone.
delete from {{ table }} as t
where t.customer_id = :customer_id
returning 1 as removed
