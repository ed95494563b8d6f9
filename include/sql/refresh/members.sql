-- One row per member of a selection on a day that it has done, sorted by the shop's own reference.
select c.customer_ref
from selections.membership as m
inner join shop.customers as c on c.customer_id = m.customer_id
where m.selection = :selection and m.entered_on <= :day and (m.left_on is null or m.left_on > :day)
order by c.customer_ref, c.namespace
