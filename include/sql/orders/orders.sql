-- name: has_orders
-- Whether the shop has any order of this source.
select exists (select from shop.orders where source = :source);

-- name: last_day
-- The last day of which a history holds a fact, in the shop's zone; one taken at its landing is of no day.
select cast(max(known_at) at time zone :shop_zone as date) - 1
from (select max(known_at) as known_at from stage_orders where taken_at is null) as newest;
