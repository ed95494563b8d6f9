-- Who was touched on this day.
insert into shop.touched (customer_id, day)
select customer_id, :day from stage_touched_customers
order by customer_id
on conflict do nothing
