-- What a customer's row says is made valid once, when it is written: statements trust email_ok, phone_ok and time_zone.

-- True of an address that a mail can reach, as far as its text shows: the one definition of it. A change of it needs the
-- columns below written anew.
create function shop.is_email(address text) returns boolean
language sql immutable parallel safe
return length(address) <= 254
-- Counted here, since a pattern that counts to 64 takes ten times as long.
and position('@' in address) <= 65
and length(split_part(address, '.', -1)) between 2 and 63
and address
~ '^[^][@[:space:][:cntrl:]<>(),;:"\\]+@([^][@[:space:][:cntrl:]<>(),;:"\\._]+\.)+[^][@[:space:][:cntrl:]<>(),;:"\\._0-9-]+$'
and address !~ '(^\.|\.\.|\.@|@-|-\.|\.-)';

-- True of a number as E.164 writes it, like +31612345678.
create function shop.is_phone(number text) returns boolean
language sql immutable parallel safe
return number ~ '^[+][1-9][0-9]{6,14}$';

-- The history is rebuilt in the order of the table beside it.
drop view shop.customer_versions;
alter table shop.customers
add column email_ok boolean not null generated always as (coalesce(shop.is_email(email), false)) stored,
add column phone_ok boolean not null generated always as (coalesce(shop.is_phone(phone), false)) stored;
alter table shop.customers_history rename column superseded_at to ended_at;
alter table shop.customers_history
add column email_ok boolean not null generated always as (coalesce(shop.is_email(email), false)) stored,
add column phone_ok boolean not null generated always as (coalesce(shop.is_phone(phone), false)) stored,
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

-- A zone is one that PostgreSQL knows, as it writes it, or none.
update shop.customers as c
set time_zone = (select min(z.name) from pg_timezone_names as z where lower(z.name) = lower(c.time_zone))
where c.time_zone is not null and not exists (select from pg_timezone_names as z where z.name = c.time_zone);
update shop.customers_history as c
set time_zone = (select min(z.name) from pg_timezone_names as z where lower(z.name) = lower(c.time_zone))
where c.time_zone is not null and not exists (select from pg_timezone_names as z where z.name = c.time_zone);
delete from shop.country_zones as p where not exists (select from pg_timezone_names as z where z.name = p.zone);
