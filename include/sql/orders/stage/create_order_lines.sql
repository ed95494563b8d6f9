-- Typed order lines of one load.
create temporary table stage_order_lines (
    file_no integer not null,
    row_no bigint not null,
    row_count bigint not null,
    customer_ref text, -- null: whoever the order's customer is
    order_ref text not null,
    line_no integer, -- null: by its place in the file
    product_ref text not null,
    category text,
    description text,
    quantity numeric(14, 3) not null,
    unit_price numeric(14, 4) not null,
    known_at timestamptz, -- null: as the order
    rule text, -- that the row breaks by itself; null: none
    told text, -- what breaks it
    taken_at timestamptz -- always null: refused
)
