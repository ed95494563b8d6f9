-- Takes those out who are not in the parent; how many they are.
with outside as (
    delete from {{ members }} as t
    where not exists (select from {{ parent }} as p where p.customer_id = t.customer_id)
    returning t.customer_id
)
select count(*) from outside
