-- Orders whose lines differ from those in the shop.
create temporary table lines_changed (
    customer_id bigint not null,
    source text not null,
    order_ref text not null,
    primary key (customer_id, source, order_ref)
)
