-- One change per customer touched by this run.
insert into shop.changes (customer_id, day, what)
select customer_id, :day, what from stage_touched_customers
order by customer_id
