-- Customers with changed lines: what they bought is part of their statistics.
insert into stage_touched (customer_id, what)
select distinct customer_id, 'orders' from lines_changed
