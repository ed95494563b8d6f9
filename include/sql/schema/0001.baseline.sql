-- The schema: the facts that every room reads (shop), then each room's own tables, from left to right (landing,
-- selections, offers, delivery, campaigns, events). include/sql/schema.sql shows it as PostgreSQL tells it.

-- Which channels there are is said in one place, retention/core/channels.py, and checked wherever a name comes in: a
-- list here would be a second one.

create schema shop;
create schema landing;
create schema selections;
create schema offers;
create schema delivery;
create schema campaigns;
create schema events;


-- SHOP: FUNCTIONS

-- The first 8 bytes of SHA-256 over namespace and reference: no look-up when loading, the same on every version and
-- platform. U+001F parts the two, so that ('a', 'bc') and ('ab', 'c') differ.
create function shop.customer_id(namespace text, customer_ref text) returns bigint
language sql stable parallel safe
return cast(cast(
    'x' || encode(substring(sha256(convert_to(namespace || chr(31) || customer_ref, 'UTF8')) from 1 for 8), 'hex')
    as bit(64)
) as bigint);

-- True of an address that a mail can reach, as far as its text shows: the one definition of it. A change of it needs
-- email_ok of all customers and their history written anew.
create function shop.is_email(address text) returns boolean
language sql immutable parallel safe
return length(address) <= 254
-- Counted here, since a pattern that counts to 64 takes ten times as long.
and position('@' in address) <= 65
and length(split_part(address, '.', -1)) between 2 and 63
and address ~ (
    '^[^][@[:space:][:cntrl:]<>(),;:"\\]+@([^][@[:space:][:cntrl:]<>(),;:"\\._]+\.)+'
    || '[^][@[:space:][:cntrl:]<>(),;:"\\._0-9-]+$'
)
and address !~ '(^\.|\.\.|\.@|@-|-\.|\.-)';

-- True of a number as E.164 writes it, like +31612345678.
create function shop.is_phone(number text) returns boolean
language sql immutable parallel safe
return number ~ '^[+][1-9][0-9]{6,14}$';


-- SHOP: DAYS AND CHANGES

-- One row per day, stage and part (a source, a selection, a campaign): what has been done, and what it counted.
create table shop.days (
    day date not null,
    stage text not null check (stage in ('orders', 'selections', 'campaigns', 'delivery')),
    part text not null,
    state text not null check (state in ('running', 'done', 'failed')),
    counts jsonb not null default '{}',
    message text not null default '',
    definition text not null default '', -- the hash of what did the day: SQL, campaign, source
    watermark bigint, -- the number of the newest change it had seen
    recorded_at timestamptz not null default now(), -- for people; no decision reads it
    primary key (day, stage, part)
);
create index days_by_stage on shop.days (stage, part, day);

-- One rising number over all changes of facts. It rises in the order in which changes are committed, so whoever has
-- seen one has seen all before it.
create sequence shop.change_no;

-- One row per customer and change: a sync, an event or an erasure.
create table shop.changes (
    customer_id bigint not null,
    change_no bigint not null default nextval('shop.change_no'),
    day date not null, -- of the sync or event
    what text[] not null, -- orders, customers, consents, engagement, suppressions, erasures
    primary key (customer_id, change_no)
);
create index changes_by_number on shop.changes (change_no);


-- SHOP: ORDERS, CUSTOMERS AND CONSENTS
-- known_at: the instant from which we could know this version of the fact. A version that is superseded moves to the
-- table's history, with the instant from which the next one was known. The views hold both.

create table shop.customers (
    customer_id bigint primary key,
    namespace text not null,
    customer_ref text not null,
    email text,
    email_ok boolean not null generated always as (coalesce(shop.is_email(email), false)) stored,
    phone text, -- E.164, like +31612345678
    phone_ok boolean not null generated always as (coalesce(shop.is_phone(phone), false)) stored,
    first_name text,
    last_name text,
    language text, -- ISO 639-1, lower case
    street text, -- with the number of the house
    postal_code text,
    city text,
    country text, -- ISO 3166-1 alpha-2, upper case
    -- IANA name, or null: the shop's. A zone that PostgreSQL does not know is an error here, and nowhere later.
    time_zone text check (timezone(time_zone, timestamptz 'epoch') is not null or time_zone is null),
    household_ref text,
    registered_at timestamptz,
    updated_at timestamptz not null,
    known_at timestamptz not null
);

create table shop.customers_history (
    like shop.customers including defaults including generated including constraints,
    superseded_at timestamptz not null,
    primary key (customer_id, known_at),
    check (superseded_at > known_at)
);

create view shop.customer_versions as
select
    customer_id, namespace, customer_ref, email, email_ok, phone, phone_ok, first_name, last_name, language, street,
    postal_code, city, country, time_zone, household_ref, registered_at, updated_at, known_at,
    cast('infinity' as timestamptz) as superseded_at
from shop.customers
union all
select
    customer_id, namespace, customer_ref, email, email_ok, phone, phone_ok, first_name, last_name, language, street,
    postal_code, city, country, time_zone, household_ref, registered_at, updated_at, known_at, superseded_at
from shop.customers_history;

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
    -- The number under which the order first came; later versions keep it. It says which of two facts of one midnight
    -- was known first.
    change_no bigint not null default nextval('shop.change_no'),
    primary key (customer_id, source, order_ref)
);
-- Not unique: it finds the order that comes back under another customer, and the order a line belongs to. Hash: in a
-- b-tree on text the insertion of a history's rows took as long as all the rest.
create index orders_by_ref on shop.orders using hash (order_ref);
-- Few orders carry a code.
create index orders_with_code on shop.orders (customer_id) where coupon_code is not null;

create table shop.orders_history (
    like shop.orders including defaults,
    superseded_at timestamptz not null,
    primary key (customer_id, source, order_ref, known_at),
    check (superseded_at > known_at)
);
-- The present version has the number.
alter table shop.orders_history alter column change_no drop not null, alter column change_no drop default;
create index orders_history_with_code on shop.orders_history (customer_id) where coupon_code is not null;

create view shop.order_versions as
select
    customer_id, source, order_ref, ordered_at, ordered_on, status, total, refunded, currency, total_reporting,
    refunded_reporting, coupon_code, store, updated_at, known_at, change_no,
    cast('infinity' as timestamptz) as superseded_at
from shop.orders
union all
select
    customer_id, source, order_ref, ordered_at, ordered_on, status, total, refunded, currency, total_reporting,
    refunded_reporting, coupon_code, store, updated_at, known_at, change_no, superseded_at
from shop.orders_history;

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
    -- of the landing that brought the lines: an older one changes nothing
    known_at timestamptz not null default '-infinity',
    primary key (customer_id, source, order_ref, line_no)
);

create table shop.consents (
    customer_id bigint not null,
    purpose text not null,
    channel text not null,
    is_granted boolean not null,
    -- Asked for, or of a customer who did not object when the address was taken in a sale.
    basis text not null default 'consent' check (basis in ('consent', 'soft_opt_in')),
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

create view shop.consent_versions as
select
    customer_id, purpose, channel, is_granted, basis, origin, text_version, updated_at, known_at,
    cast('infinity' as timestamptz) as superseded_at
from shop.consents
union all
select
    customer_id, purpose, channel, is_granted, basis, origin, text_version, updated_at, known_at, superseded_at
from shop.consents_history;

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

-- What one unit of a currency is worth in reporting currency, from a date on.
create table shop.rates (
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    valid_from date not null,
    rate numeric(18, 8) not null check (rate > 0),
    primary key (currency, valid_from)
);


-- SHOP: WHO MAY BE CONTACTED

-- One row per country, channel and date from which it holds: rules.csv, as it was last read.
create table shop.rules (
    country text not null check (country = 'unknown' or country ~ '^[A-Z]{2}$'),
    channel text not null,
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
    country, channel, basis, earliest, latest, valid_from, source,
    lead(valid_from, 1, 'infinity') over (partition by country, channel order by valid_from) as valid_until
from shop.rules;

-- One row per country and zone in it: where somebody may be whose own zone nobody knows.
create table shop.country_zones (
    country text not null,
    zone text not null,
    primary key (country, zone)
);

-- Who must not be written to, whatever they once agreed to.
create table shop.suppressions (
    customer_id bigint not null,
    channel text not null, -- or all
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

-- What is left of people who were erased: digests under RETENTION_SECRET, from which nobody reads who they were.
create table shop.erased (
    digest bytea primary key,
    kind text not null check (kind in ('customer', 'email', 'phone')),
    erased_at timestamptz not null
);


-- LANDING: THE FILES AS THEY CAME

-- One row per landed feed of a day (or of a history): its rows stand in landing.<source>_<feed>.
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
    length bigint, -- of an unreadable row, in bytes, since nothing else of it is shown; null for one with columns
    primary key (load_id, file, row_no, rule)
);

-- One row per landed row that is kept with another instant than its own: a withdrawal or cancellation by a wrong clock.
create table landing.corrections (
    load_id bigint not null references landing.loads on delete cascade,
    file text not null,
    file_no integer not null,
    row_no bigint not null, -- the row in its file, the first after the header is 1
    rule text not null, -- what its own instant breaks
    value text, -- that instant; null: it cannot be read
    taken_at timestamptz not null, -- the instant that stands in its place
    primary key (load_id, file_no, row_no)
);

-- One row per suite and load: the result of Great Expectations as it came, for the data quality view.
create table landing.validations (
    load_id bigint not null references landing.loads on delete cascade,
    suite text not null,
    success boolean not null,
    results jsonb not null,
    validated_at timestamptz not null default now(), -- for people; no decision reads it
    primary key (load_id, suite)
);


-- SELECTIONS
-- Each selection is a table selections.<name>(customer_id), made when it is first refreshed. Beside it stands
-- selections.work_<name>: the new set while a refresh compares it with the old one, empty between refreshes.

-- Who was in which selection, and when: half-open [entered_on, left_on).
create table selections.membership (
    selection text not null,
    customer_id bigint not null,
    entered_on date not null,
    left_on date, -- null: still in it
    primary key (selection, customer_id, entered_on),
    check (left_on > entered_on)
);
create unique index membership_open on selections.membership (selection, customer_id) where left_on is null;


-- OFFERS: THE LIFE OF A COUPON

-- One code per customer, entry and offer.
create table offers.coupons (
    customer_id bigint not null,
    campaign text not null,
    entry_no integer not null,
    offer text not null,
    code text not null,
    percent numeric(5, 2) not null,
    state text not null check (state in ('reserved', 'issued', 'void', 'redeemed')),
    reserved_on date not null,
    expires_at timestamptz, -- fixed when its first message is claimed
    primary key (customer_id, campaign, entry_no, offer),
    unique (customer_id, code),
    check (state <> 'issued' or expires_at is not null)
);
create index coupons_by_code on offers.coupons (code); -- not unique: the shop's system names no customer
create index coupons_by_day on offers.coupons (reserved_on);
-- Coupons whose time is not long over are looked at each time events are applied.
create index coupons_by_expiry on offers.coupons (expires_at);

-- One row per coupon that was exported to the shop: what the last file said of it.
create table offers.coupon_exports (
    customer_id bigint not null,
    campaign text not null,
    entry_no integer not null,
    offer text not null,
    state text not null,
    expires_at timestamptz,
    exported_at timestamptz not null,
    primary key (customer_id, campaign, entry_no, offer)
);

-- One row per coupon and order that carried it, whether an order's file said so or the shop's own system.
create table offers.redemptions (
    customer_id bigint not null,
    code text not null,
    order_ref text not null,
    source text not null, -- of the order; shop: reported by the shop's own system
    campaign text not null,
    entry_no integer not null,
    offer text not null,
    outcome text not null check (outcome in ('redeemed', 'expired', 'not_issued', 'redeemed_before')),
    redeemed_at timestamptz not null, -- when the order was placed
    known_at timestamptz not null, -- when we could know
    primary key (customer_id, code, order_ref)
);
create unique index redemptions_once on offers.redemptions (customer_id, code) where outcome = 'redeemed';


-- DELIVERY: THE LEDGER

-- The ledger: one row per message, its key derived from customer, campaign, entry, step and channel. docs/states.md
-- draws the states; only the statements in sql/ledger, campaigns/plan and delivery/claim move a row.
create table delivery.messages (
    customer_id bigint not null,
    message_key text not null,
    campaign text not null,
    version text not null,
    entry_no integer not null,
    step text not null,
    channel text not null,
    day date not null, -- the day of the run that planned it
    state text not null check (
        state in ('planned', 'attempting', 'accepted', 'delivered', 'bounced', 'refused', 'unknown', 'skipped')
    ),
    reason text, -- why skipped, refused, unknown, or planned again
    offer text,
    due_at timestamptz not null, -- the window's start on the customer's local date
    expires_at timestamptz not null, -- after it the message is skipped as too_late
    window_start time not null, -- of the customer's local day
    window_end time not null,
    attempts integer not null default 0,
    retry_at timestamptz, -- not before, after a safe retry
    claim uuid, -- the worker's claim that attempts it, attempted it or skipped it
    provider text, -- who the claim hands it to: outbox, sendgrid, twilio
    -- The instant by which the claim decided: on the clock of the days that is an instant of the day played, and the
    -- proof must not take it for called_at.
    attempted_at timestamptz,
    called_at timestamptz, -- when it was handed over by the machine's clock; null: never attempted
    settled_at timestamptz,
    provider_id text,
    segments integer check (segments > 0), -- of an SMS that was sent or may have been: what operators charge
    looked_up_at timestamptz, -- of an unknown one: when the provider was last asked, and had nothing to show
    primary key (customer_id, message_key),
    unique (customer_id, campaign, entry_no, step, channel),
    check (expires_at > due_at),
    check (state not in ('skipped', 'refused', 'unknown') or reason is not null),
    check (
        state not in ('attempting', 'accepted', 'delivered', 'bounced', 'refused', 'unknown')
        or (attempts > 0 and claim is not null and attempted_at is not null)
    ),
    check (state not in ('accepted', 'delivered', 'bounced', 'refused', 'unknown', 'skipped') or settled_at is not null)
);
-- The queue of due messages is read page by page: its order is total, so that a page has an end to go on from.
create index messages_due on delivery.messages (due_at, message_key) where state = 'planned';
create index messages_attempting on delivery.messages (claim) where state = 'attempting';
create index messages_unknown on delivery.messages (attempted_at) where state = 'unknown'; -- the operator's list
create index messages_by_day on delivery.messages (campaign, day);

-- One row per decision of a person about an unknown message.
create table delivery.decisions (
    customer_id bigint not null,
    message_key text not null,
    decided_at timestamptz not null,
    decision text not null check (decision in ('sent', 'again')),
    decided_by text not null,
    primary key (customer_id, message_key, decided_at)
);

-- What is halted: everything, a campaign or a channel. The claim reads it.
create table delivery.halts (
    kind text not null check (kind in ('all', 'campaign', 'channel')),
    name text not null, -- empty for all
    halted_at timestamptz not null default now(),
    primary key (kind, name)
);

-- One row per line of caps.yaml and the time it was in force, so that the proof holds a message against the caps of its
-- own time.
create table delivery.caps (
    channel text not null, -- or all
    at_most integer not null check (at_most > 0),
    hours integer not null check (hours > 0), -- the length of the sliding window
    in_force_from timestamptz not null,
    in_force_until timestamptz, -- null: in force
    primary key (channel, at_most, hours, in_force_from),
    check (in_force_until >= in_force_from)
);
create unique index caps_in_force on delivery.caps (channel, at_most, hours) where in_force_until is null;

-- One row per restore from a backup: what came due between the two instants may have been sent by the database lost.
create table delivery.restores (
    claim uuid primary key, -- the claim of the messages that became unknown by it
    backup_at timestamptz not null unique,
    restored_at timestamptz not null
);


-- DELIVERY: WHAT IS HANDED OVER

-- The outbox: what would have been handed to the provider.
create table delivery.outbox (
    customer_id bigint not null,
    message_key text not null,
    channel text not null,
    recipient text not null,
    subject text,
    text_body text not null,
    html_body text,
    headers jsonb not null default '{}',
    stored_at timestamptz not null,
    primary key (customer_id, message_key)
);

-- E-mails that SendGrid holds until send_at (RETENTION_EMAIL_DELAY): one row per claim, campaign and batch they are in;
-- two campaigns of one claim may become one. Until then a halt can cancel the batch.
create table delivery.batches (
    claim uuid not null,
    campaign text not null,
    batch_id text not null,
    send_at timestamptz not null, -- of the last of them
    cancelled_at timestamptz,
    primary key (claim, campaign, batch_id)
);

-- Who is in an audience, was, or is about to be: one row per message of the channel audience that was accepted. No
-- address stands here, only what the platforms want to see: SHA-256 of the address as each of them writes it.
create table delivery.audience_members (
    customer_id bigint not null,
    message_key text not null,
    campaign text not null,
    step text not null,
    entry_no integer not null,
    until_on date not null, -- the last day in it, in the shop's zone
    email_meta text,
    email_google text,
    phone_meta text,
    phone_google text,
    kept_at timestamptz not null,
    added_in integer, -- the export that put them in; null: in no file yet
    left_at timestamptz, -- null: belongs in the audience
    left_reason text, -- order, unsubscribe, left_selection, until_over, suppressed, no_consent, control, erased ...
    removed_in integer, -- the export that took them out
    primary key (customer_id, message_key),
    -- Who was taken out a month ago is in no file any more, so no hash is needed.
    check (removed_in is not null or num_nonnulls(email_meta, phone_meta) > 0),
    check ((left_at is null) = (left_reason is null)),
    check (removed_in is null or (added_in is not null and removed_in > added_in and left_at is not null))
);
create index audience_members_open on delivery.audience_members (campaign, step) where removed_in is null;

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

-- One row per export of one step: a folder of files. Its rows are fixed here before the files are written, so a folder
-- that a crash left incomplete is written again, byte for byte.
create table delivery.exports (
    campaign text not null,
    step text not null,
    number integer not null check (number > 0), -- per step, without gaps
    channel text not null,
    day date not null, -- in the shop's zone
    exported_at timestamptz not null, -- what was known then is in it
    added integer not null, -- rows: people put in, cards to print
    removed integer not null, -- people taken out
    written_at timestamptz, -- null: its files may not be complete
    -- Its folder is gone, and what only it needed: what was exported is kept for a month, since addresses and their
    -- hashes are personal data.
    deleted_at timestamptz,
    primary key (campaign, step, number)
);
create index exports_unwritten on delivery.exports (campaign, step, number) where written_at is null;


-- CAMPAIGNS

-- One row per content of a campaign that somebody was enrolled with: the YAML, its templates and its selection's SQL.
create table campaigns.versions (
    campaign text not null,
    version text not null, -- the first 12 hex digits of the content's SHA-256
    definition jsonb not null,
    templates jsonb not null, -- file name -> text
    selection_sql text not null,
    first_used_on date not null,
    primary key (campaign, version)
);

-- One row per customer's pass through a campaign.
create table campaigns.enrolments (
    customer_id bigint not null,
    campaign text not null,
    entry_no integer not null check (entry_no > 0),
    version text not null,
    arm text not null check (arm in ('treated', 'control')),
    entered_on date not null,
    exited_on date, -- null: open
    exit_reason text, -- order, unsubscribe, left_selection, finished ...
    entered_change bigint, -- the number of the newest change that the selections had seen when the customer entered
    primary key (customer_id, campaign, entry_no),
    check ((exited_on is null) = (exit_reason is null)),
    check (exited_on >= entered_on)
);
create unique index enrolments_open on campaigns.enrolments (customer_id, campaign) where exited_on is null;
create index enrolments_by_day on campaigns.enrolments (campaign, entered_on);

-- Why a member of the campaign's selection was enrolled or not: one row each time the answer changes.
create table campaigns.decisions (
    customer_id bigint not null,
    campaign text not null,
    decided_on date not null,
    decision text not null, -- enrolled, waits, refused
    reason text not null, -- selected, control, entry_limit, re_entry, no_consent ...
    primary key (customer_id, campaign, decided_on)
);

-- One row per campaign that its file keeps from going on. The claim takes none of its messages.
create table campaigns.paused (
    campaign text primary key,
    reason text not null check (reason in ('file_missing', 'file_unreadable', 'folder_empty', 'perhaps_renamed')),
    message text not null, -- for people: what is wrong, and what to do
    since_day date, -- the newest published day when it was found so; null: no day was published
    removed_on date -- the day its enrolments were ended; null: it waits for its file
);

-- One row per campaign that was renamed. Its arms are drawn, and its exports are named, by the name it had first.
create table campaigns.first_names (
    campaign text primary key,
    first_name text not null
);


-- EVENTS: WHAT PROVIDERS REPORT

-- A report's row holds no address and no text: who it is about says customer_id.
create table events.received (
    customer_id bigint not null,
    event_key text not null, -- the provider's id of the event, so that a report that comes twice is one row
    -- retention: a link of ours was followed
    provider text not null check (provider in ('sendgrid', 'twilio', 'retention')),
    message_key text, -- null: a text that a customer sent
    kind text not null, -- the provider's word, like delivered, bounce, click, undelivered
    detail text, -- of a bounce or drop its sort, of an SMS the error code
    link text, -- of a click, without its query
    agent text, -- of a click, the program that followed the link
    provider_id text, -- the provider's id of the message
    occurred_at timestamptz not null, -- by the provider's clock, never after received_at
    received_at timestamptz not null,
    applied_at timestamptz, -- null: waits for its message
    batch uuid, -- which application took it; null with applied_at: it belongs to no message
    primary key (customer_id, event_key),
    check (batch is null or applied_at is not null)
);
create index received_pending on events.received (received_at) where applied_at is null;
create index received_by_batch on events.received (batch) where batch is not null;
-- Whether a click is a program's shows in what was followed within seconds of it, and of the delivery.
create index received_clicks on events.received (customer_id, message_key, kind, occurred_at)
where kind in ('click', 'delivered');
