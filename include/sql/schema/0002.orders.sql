-- Facts that every room reads. known_at: the instant from which we could know this version of the fact.
-- A version that is superseded moves to the table's history, with the instant from which the next one was known.

create table shop.customers (
    customer_id bigint primary key,
    namespace text not null,
    customer_ref text not null,
    email text,
    phone text, -- E.164, like +31612345678
    first_name text,
    last_name text,
    language text, -- ISO 639-1, lower case
    country text, -- ISO 3166-1 alpha-2, upper case
    time_zone text, -- IANA name; null: the shop's
    household_ref text,
    registered_at timestamptz,
    updated_at timestamptz not null,
    known_at timestamptz not null
);

create table shop.customers_history (
    like shop.customers including defaults,
    superseded_at timestamptz not null,
    primary key (customer_id, known_at),
    check (superseded_at > known_at)
);

create table shop.orders (
    customer_id bigint not null,
    source text not null,
    order_ref text not null,
    ordered_at timestamptz not null,
    ordered_on date not null, -- the day in the shop's zone
    status text not null check (status in ('pending', 'complete', 'cancelled', 'refunded')),
    total numeric(14, 2) not null,
    refunded numeric(14, 2) not null default 0,
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    total_reporting numeric(14, 2) not null, -- by the rate of ordered_on
    refunded_reporting numeric(14, 2) not null default 0,
    coupon_code text,
    store text,
    updated_at timestamptz not null,
    known_at timestamptz not null,
    primary key (customer_id, source, order_ref)
);
-- Not unique: it finds the order that comes back under another customer, and the order a line belongs to. Hash: in a
-- b-tree on text the insertion of a history's rows took as long as all the rest.
create index orders_by_ref on shop.orders using hash (order_ref);

create table shop.orders_history (
    like shop.orders including defaults,
    superseded_at timestamptz not null,
    primary key (customer_id, source, order_ref, known_at),
    check (superseded_at > known_at)
);

create table shop.order_lines (
    customer_id bigint not null,
    source text not null,
    order_ref text not null,
    line_no integer not null,
    product_ref text not null,
    category text,
    description text,
    quantity numeric(14, 3) not null,
    unit_price numeric(14, 4) not null,
    known_at timestamptz not null default '-infinity', -- of the landing that brought the lines: an older one changes nothing
    primary key (customer_id, source, order_ref, line_no)
);

create table shop.consents (
    customer_id bigint not null,
    purpose text not null,
    channel text not null check (channel in ('email', 'sms')),
    is_granted boolean not null,
    origin text, -- where it was given, like checkout
    text_version text, -- which wording was agreed to
    updated_at timestamptz not null, -- when it was given or withdrawn
    known_at timestamptz not null,
    primary key (customer_id, purpose, channel)
);

create table shop.consents_history (
    like shop.consents including defaults,
    superseded_at timestamptz not null,
    primary key (customer_id, purpose, channel, known_at),
    check (superseded_at > known_at)
);

-- Who must not be written to, whatever they once agreed to.
create table shop.suppressions (
    customer_id bigint not null,
    channel text not null check (channel in ('email', 'sms', 'all')),
    reason text not null, -- unsubscribed, hard_bounce, complaint ...
    known_at timestamptz not null,
    lifted_at timestamptz,
    primary key (customer_id, channel, reason, known_at)
);

-- One row per customer we have written to: since when we look, and when they last showed interest.
create table shop.engagement (
    customer_id bigint primary key,
    tracked_since date not null,
    last_engaged_on date,
    known_at timestamptz not null
);

-- One row per customer with an order; nothing in it depends on today. Recomputed only for customers touched.
create table shop.customer_stats (
    customer_id bigint primary key,
    orders_count integer not null, -- orders of any status
    complete_orders integer not null,
    first_order_on date, -- of complete orders, as all below
    last_order_on date,
    last_order_at timestamptz,
    revenue numeric(16, 2) not null, -- less refunds, in reporting currency
    last_gap_days integer, -- days between the last two
    median_gap_days numeric(10, 1),
    categories text[] not null default '{}' -- sorted
);

-- Customers with a changed fact, and the day of the sync or event that changed it.
create table shop.touched (
    customer_id bigint not null,
    day date not null,
    primary key (customer_id, day)
);
create index touched_by_day on shop.touched (day);

-- What one unit of a currency is worth in reporting currency, from a date on.
create table shop.rates (
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    valid_from date not null,
    rate numeric(18, 8) not null check (rate > 0),
    primary key (currency, valid_from)
);

create view shop.order_versions as
select *, cast('infinity' as timestamptz) as superseded_at from shop.orders
union all
select * from shop.orders_history;

create view shop.customer_versions as
select *, cast('infinity' as timestamptz) as superseded_at from shop.customers
union all
select * from shop.customers_history;

create view shop.consent_versions as
select *, cast('infinity' as timestamptz) as superseded_at from shop.consents
union all
select * from shop.consents_history;

-- Landing. One row per landed feed of a day (or of a history): its rows stand in landing.<source>_<feed>.
create table landing.loads (
    load_id bigint generated always as identity primary key,
    source text not null,
    feed text not null,
    load_key text not null, -- the day, or history
    day date, -- null for a history
    files jsonb not null, -- name, bytes and fingerprint of each, in the order they were read
    landed bigint not null,
    accepted bigint,
    rejected bigint,
    landed_at timestamptz not null default now(), -- for people; no decision reads it
    unique (source, feed, load_key)
);

-- One row per landed row and rule that it breaks.
create table landing.rejections (
    load_id bigint not null references landing.loads on delete cascade,
    file text not null,
    file_no integer not null default 1, -- its place in landing.loads.files
    row_no bigint not null, -- the row in its file, the first after the header is 1
    rule text not null,
    value text, -- what the rule looked at, shortened
    row_text jsonb, -- the row as it came, long fields shortened
    primary key (load_id, file, row_no, rule)
);

-- One row per suite and load: the result of Great Expectations as it came, for the data quality view.
create table landing.validations (
    load_id bigint not null references landing.loads on delete cascade,
    suite text not null,
    success boolean not null,
    results jsonb not null,
    validated_at timestamptz not null default now(),
    primary key (load_id, suite)
);
