-- Typed customer rows of one load.
create temporary table stage_customers (
    file_no integer not null,
    row_no bigint not null,
    row_count bigint not null,
    customer_id bigint not null,
    namespace text not null,
    customer_ref text not null,
    email text,
    phone text,
    first_name text,
    last_name text,
    language text,
    country text,
    time_zone text,
    household_ref text,
    registered_at timestamptz,
    street text,
    postal_code text,
    city text,
    updated_at timestamptz not null,
    known_at timestamptz not null,
    rule text, -- that the row breaks by itself; null: none
    told text, -- what breaks it
    taken_at timestamptz -- kept all the same, with this instant in place of its own; null: refused
)
