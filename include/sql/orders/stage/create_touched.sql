-- Customers with a changed fact in this run; with_orders: their statistics have to be computed anew.
create temporary table stage_touched (
    customer_id bigint not null,
    with_orders boolean not null
)
