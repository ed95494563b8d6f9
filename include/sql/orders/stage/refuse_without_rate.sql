-- Orders in a currency for which no rate is known on their day.
insert into stage_refused (feed, file_no, row_no, rule, value)
select 'orders', file_no, row_no, 'no_rate', currency || ' on ' || ordered_on
from stage_orders
where total_reporting is null
