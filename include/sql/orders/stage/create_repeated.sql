-- Orders of which the load holds several rows.
create temporary table stage_repeated (
    order_ref text primary key,
    times bigint not null,
    customers_differ boolean not null
)
