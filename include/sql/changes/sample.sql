-- Ten customers with a change after :since, by the shop's own reference.
select distinct c.customer_ref
from shop.changes as n
inner join shop.customers as c on c.customer_id = n.customer_id
where n.change_no > :since
order by c.customer_ref
limit 10
