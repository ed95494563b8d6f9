-- What the shop sells: one small table, of no customer.

-- True of an address on the web that a mail can link to, as far as its text shows: the one definition of it. No signs
-- that end a link or begin markup.
create function shop.is_web_address(url text) returns boolean
language sql immutable parallel safe
return length(url) <= 2000 and url ~* '^https?://[[:alnum:]][^[:space:][:cntrl:]"<>\\^`{|}]*$';

-- A line of an order names its product by source and product_ref.
create table shop.products (
    source text not null,
    product_ref text not null,
    category text,
    name text not null,
    -- What the cost of the goods leaves of the net price: 1 - cost / price, both without VAT. Null: unknown.
    margin numeric(6, 5) check (margin between 0 and 1),
    price numeric(14, 4) check (price >= 0), -- as the shop shows it
    currency text not null check (currency ~ '^[A-Z]{3}$'), -- of the price
    picture_url text check (shop.is_web_address(picture_url)),
    url text check (shop.is_web_address(url)),
    updated_at timestamptz not null,
    known_at timestamptz not null,
    primary key (source, product_ref)
);

create table shop.products_history (
    like shop.products including defaults,
    superseded_at timestamptz not null,
    primary key (source, product_ref, known_at),
    check (superseded_at > known_at)
);

create view shop.product_versions as
select
    source, product_ref, category, name, margin, price, currency, picture_url, url, updated_at, known_at,
    cast('infinity' as timestamptz) as superseded_at
from shop.products
union all
select
    source, product_ref, category, name, margin, price, currency, picture_url, url, updated_at, known_at, superseded_at
from shop.products_history;
