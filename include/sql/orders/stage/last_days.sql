-- One row per file of orders: the last day, in the shop's zone, on which one of them changed; one taken at its landing is
-- of no day.
select file_no, cast(max(updated_at) at time zone :shop_zone as date) as day
from stage_orders
where taken_at is null
group by file_no
