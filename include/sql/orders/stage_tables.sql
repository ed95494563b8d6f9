-- name: more_memory
-- Sorting and hashing a whole history in memory, for this transaction.
set local work_mem = '128MB';

-- name: create_stage_files
-- One row per file of the load at hand.
create temporary table stage_files (
    file_no integer primary key,
    name text not null,
    day date, -- null: the path names no day
    starts_at timestamptz, -- of the day
    known_at timestamptz, -- null: the midnight after the fact's own date
    not_before timestamptz, -- the end of the newest published day: no fact of the file was known earlier
    landed_at timestamptz not null, -- no fact of the file happened later than this
    newest_at timestamptz not null -- the last instant that is believed all the same: clocks run fast
);

-- name: create_stage_orders
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
    own_known_at timestamptz not null, -- by its own file alone: it ranks versions of one updated_at
    rule text, -- that the row breaks by itself; null: none
    told text, -- what breaks it
    taken_at timestamptz -- kept all the same, with this instant in place of its own; null: refused
);

-- name: create_stage_order_lines
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
);

-- name: create_stage_customers
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
    own_known_at timestamptz not null, -- by its own file alone: it ranks versions of one updated_at
    rule text, -- that the row breaks by itself; null: none
    told text, -- what breaks it
    taken_at timestamptz -- kept all the same, with this instant in place of its own; null: refused
);

-- name: create_stage_consents
-- Typed consent rows of one load.
create temporary table stage_consents (
    file_no integer not null,
    row_no bigint not null,
    row_count bigint not null,
    customer_ref text not null,
    customer_id bigint not null,
    purpose text not null,
    channel text not null,
    is_granted boolean not null,
    basis text not null,
    origin text,
    text_version text,
    updated_at timestamptz not null,
    known_at timestamptz not null,
    own_known_at timestamptz not null, -- by its own file alone: it ranks versions of one updated_at
    rule text, -- that the row breaks by itself; null: none
    told text, -- what breaks it
    taken_at timestamptz -- kept all the same, with this instant in place of its own; null: refused
);

-- name: create_stage_list_members
-- Typed rows of who is on which list, of one load. A row of a history may stand for two versions; one counts it.
create temporary table stage_list_members (
    file_no integer not null,
    row_no bigint not null,
    row_count bigint not null,
    customer_ref text not null,
    customer_id bigint not null,
    list text not null,
    since timestamptz, -- null: the row breaks a rule
    until timestamptz,
    updated_at timestamptz not null,
    known_at timestamptz not null,
    own_known_at timestamptz not null, -- by its own file alone: it ranks versions of one updated_at
    rule text, -- that the row breaks by itself; null: none
    told text, -- what breaks it
    taken_at timestamptz -- always null: refused
);

-- name: create_stage_products
-- Typed product rows of one load.
create temporary table stage_products (
    file_no integer not null,
    row_no bigint not null,
    row_count bigint not null,
    source text not null,
    product_ref text not null,
    category text,
    name text not null,
    margin numeric(6, 5),
    price numeric(14, 4),
    currency text not null,
    picture_url text,
    url text,
    updated_at timestamptz not null,
    known_at timestamptz not null,
    own_known_at timestamptz not null, -- by its own file alone: it ranks versions of one updated_at
    rule text, -- that the row breaks by itself; null: none
    told text, -- what breaks it
    taken_at timestamptz -- always null: refused
);

-- name: create_stage_refused
-- Rows refused, by themselves or because of other rows: one row per landed row and rule.
create temporary table stage_refused (
    feed text not null,
    file_no integer not null,
    row_no bigint not null,
    rule text not null,
    value text,
    primary key (feed, file_no, row_no, rule)
);

-- name: create_stage_repeated
-- Orders of which the load holds several rows.
create temporary table stage_repeated (
    order_ref text primary key,
    times bigint not null,
    customers_differ boolean not null
);

-- name: create_stage_touched
-- Customers with a changed fact in this run, and which; where it is orders, their statistics have to be computed anew.
create temporary table stage_touched (
    customer_id bigint, -- null: the fact is nobody's, like a product
    what text not null
);

-- name: create_stage_seen
-- Customers in the load: one row each. Two references for one id would be a collision of hashes.
create temporary table stage_seen as
select
    customer_id,
    min(customer_ref) as customer_ref,
    max(customer_ref) as other_ref,
    min(known_at) as known_at
from (
    {{ seen }}
) as s
group by customer_id;

-- name: clear_stage_files
-- The next feed has files of its own.
delete from stage_files;

-- name: add_stage_files
-- One row per file of each landed feed; a feed's rows know theirs by number.
insert into stage_files (file_no, name, day, starts_at, known_at, not_before, landed_at, newest_at)
select
    f.file_no,
    f.name,
    f.day,
    f.starts_at,
    f.known_at,
    f.not_before,
    f.landed_at,
    f.newest_at
from
    jsonb_to_recordset(cast(:files as jsonb)) as f (
        file_no integer, name text, day date, starts_at timestamptz, known_at timestamptz, not_before timestamptz,
        landed_at timestamptz, newest_at timestamptz
    );

-- name: analyze_stage
-- Tell the planner what the stage holds; its own daemon cannot see temporary tables.
analyze {{ table }};

-- name: count_stage
-- How many rows a stage has.
select count(*) from {{ table }};

-- name: count_staged_rows
-- How many landed rows are in a stage.
select coalesce(sum(row_count), 0) from {{ table }};

-- name: count_staged_orders
-- How many different orders are in the stage.
select (select count(*) from stage_orders) - coalesce((
    select sum(r.times - 1)
    from (
        select count(*) as times
        from stage_orders
        inner join stage_repeated using (order_ref)
        group by order_ref
    ) as r
), 0);

-- name: last_days
-- One row per file of orders: the last day, in the shop's zone, on which one of them changed; one taken at its landing
-- is of no day.
select file_no, cast(max(updated_at) at time zone :shop_zone as date) as day
from stage_orders
where taken_at is null
group by file_no;
