-- name: has_orders
-- Whether the shop has any order of this source.
select exists (select from shop.orders where source = :source);
