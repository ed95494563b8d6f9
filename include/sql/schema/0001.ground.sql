-- The ground floor: schemas, the customer's id, the order of days.

create schema shop;
create schema landing;
create schema selections;
create schema campaigns;
create schema delivery;

-- The first 8 bytes of SHA-256 over namespace and reference: no look-up when loading, the same on every version and
-- platform. U+001F parts the two, so that ('a', 'bc') and ('ab', 'c') differ.
create function shop.customer_id(namespace text, customer_ref text) returns bigint
language sql stable parallel safe
return cast(
    cast('x' || encode(substring(sha256(convert_to(namespace || chr(31) || customer_ref, 'UTF8')) from 1 for 8), 'hex') as bit(64))
    as bigint
);

-- One row per day, stage and part (a source, a selection, a campaign): what has been done, and what it counted.
create table shop.days (
    day date not null,
    stage text not null check (stage in ('orders', 'selections', 'campaigns', 'delivery')),
    part text not null,
    state text not null check (state in ('running', 'done', 'failed')),
    counts jsonb not null default '{}',
    message text not null default '',
    recorded_at timestamptz not null default now(), -- for people; no decision reads it
    primary key (day, stage, part)
);
create index days_by_stage on shop.days (stage, part, day);
