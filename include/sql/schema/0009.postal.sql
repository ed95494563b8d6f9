-- Postal addresses of customers, and the cards to be printed.

-- The history is rebuilt in the order of the table beside it.
drop view shop.customer_versions;
alter table shop.customers
add column street text, -- with the number of the house
add column postal_code text,
add column city text;
alter table shop.customers_history rename column superseded_at to ended_at;
alter table shop.customers_history
add column street text,
add column postal_code text,
add column city text,
add column superseded_at timestamptz;
update shop.customers_history set superseded_at = ended_at;
alter table shop.customers_history
drop column ended_at,
alter column superseded_at set not null,
add check (superseded_at > known_at);
create view shop.customer_versions as
select *, cast('infinity' as timestamptz) as superseded_at from shop.customers
union all
select * from shop.customers_history;

-- One row per message of the channel postal that was accepted: a card as it is printed.
create table delivery.cards (
    customer_id bigint not null,
    message_key text not null,
    campaign text not null,
    step text not null,
    language text not null,
    recipient text not null,
    street text not null,
    postal_code text not null,
    city text not null,
    country text not null, -- ISO 3166-1 alpha-2
    card text not null, -- what it says
    kept_at timestamptz not null,
    exported_in integer, -- the export it is printed from; null: in none yet
    primary key (customer_id, message_key)
);
create index cards_waiting on delivery.cards (campaign, step) where exported_in is null;
