-- What is suppressed for one profile holds for every profile with the same e-mail address or number. `via` says how a
-- suppression came to its customer: by their own profile (self), or by an address they share (email, phone).
alter table shop.suppressions add column via text not null default 'self';
alter table shop.suppressions drop constraint suppressions_pkey;
alter table shop.suppressions add primary key (customer_id, channel, reason, via, known_at);
create index customers_by_email on shop.customers (lower(email)) where email_ok;
create index customers_by_phone on shop.customers (phone) where phone_ok;
