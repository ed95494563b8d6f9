-- The law as data, on what ground somebody is written to, and what is left of people who were erased.

-- One row per country, channel and date from which it holds: rules.csv, as it was last read.
create table shop.rules (
    country text not null check (country = 'unknown' or country ~ '^[A-Z]{2}$'),
    channel text not null check (channel in ('email', 'sms', 'audience', 'postal')),
    basis text not null check (basis in ('consent', 'soft_opt_in', 'legitimate_interest')),
    earliest time, -- of the recipient's local day; null: no limit by law
    latest time,
    valid_from date not null, -- in the recipient's zone
    source text not null, -- the article
    primary key (country, channel, valid_from),
    check (earliest < latest)
);

-- One row per rule and the local days on which it holds: [valid_from, valid_until).
create view shop.law as
select
    r.*,
    lead(r.valid_from, 1, 'infinity') over (partition by r.country, r.channel order by r.valid_from) as valid_until
from shop.rules as r;

-- One row per country and zone in it: where somebody may be whose own zone nobody knows.
create table shop.country_zones (
    country text not null,
    zone text not null,
    primary key (country, zone)
);

-- What is left of people who were erased: digests under RETENTION_SECRET, from which nobody reads who they were.
create table shop.erased (
    digest bytea primary key,
    kind text not null check (kind in ('customer', 'email', 'phone')),
    erased_at timestamptz not null
);

-- The ground of a consent: asked for, or of a customer who did not object when the address was taken in a sale.
-- The history is rebuilt in the order of the table beside it.
drop view shop.consent_versions;
alter table shop.consents
drop constraint consents_channel_check,
add constraint consents_channel_check check (channel in ('email', 'sms', 'audience', 'postal')),
add column basis text not null default 'consent' check (basis in ('consent', 'soft_opt_in'));
alter table shop.consents_history rename column superseded_at to ended_at;
alter table shop.consents_history
add column basis text not null default 'consent',
add column superseded_at timestamptz;
update shop.consents_history set superseded_at = ended_at;
alter table shop.consents_history
drop column ended_at,
alter column superseded_at set not null,
add check (superseded_at > known_at);
create view shop.consent_versions as
select *, cast('infinity' as timestamptz) as superseded_at from shop.consents
union all
select * from shop.consents_history;

alter table shop.suppressions
drop constraint suppressions_channel_check,
add constraint suppressions_channel_check check (channel in ('email', 'sms', 'audience', 'postal', 'all'));
