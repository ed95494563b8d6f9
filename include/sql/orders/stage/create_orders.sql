-- Typed order rows of one load; one row per version of an order in a file.
create temporary table stage_orders (
    file_no integer not null,
    row_no bigint not null,
    row_count bigint not null, -- landed rows it was made of
    customer_ref text not null,
    customer_id bigint not null,
    source text not null,
    order_ref text not null,
    ordered_at timestamptz not null,
    ordered_on date not null,
    status text not null,
    total numeric(14, 2) not null,
    refunded numeric(14, 2) not null,
    currency text not null,
    total_reporting numeric(14, 2), -- null: no rate
    refunded_reporting numeric(14, 2),
    coupon_code text,
    store text,
    updated_at timestamptz not null,
    known_at timestamptz not null,
    rule text, -- that the row breaks by itself; null: none
    told text, -- what breaks it
    taken_at timestamptz -- kept all the same, with this instant in place of its own; null: refused
)
