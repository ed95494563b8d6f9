-- What is asked of clicks and of orders with a code grows with their number, not with its square.
-- depends: 0010.coupons

-- Whether a click is a program's shows in what was followed within seconds of it, and of the delivery.
create index received_clicks on events.received (customer_id, message_key, kind, occurred_at)
where kind in ('click', 'delivered');
-- Few orders carry a code.
create index orders_with_code on shop.orders (customer_id) where coupon_code is not null;
create index orders_history_with_code on shop.orders_history (customer_id) where coupon_code is not null;
