-- Customers with changed lines: what they bought is part of their statistics.
insert into stage_touched (customer_id, with_orders)
select distinct customer_id, true from lines_changed
