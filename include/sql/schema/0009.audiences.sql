-- Two more channels, audiences and postal cards: both are handed over as files, so what they hold is kept here first.

alter table delivery.messages drop constraint messages_channel_check;
alter table delivery.messages add constraint messages_channel_check
check (channel in ('email', 'sms', 'audience', 'postal'));

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
    check (num_nonnulls(email_meta, phone_meta) > 0),
    check ((left_at is null) = (left_reason is null)),
    check (removed_in is null or (added_in is not null and removed_in > added_in and left_at is not null))
);
create index audience_members_open on delivery.audience_members (campaign, step) where removed_in is null;

-- One row per export of one step: a folder of files. Its rows are fixed here before the files are written, so a folder
-- that a crash left incomplete is written again, byte for byte.
create table delivery.exports (
    campaign text not null,
    step text not null,
    number integer not null check (number > 0), -- per step, without gaps
    channel text not null check (channel in ('audience', 'postal')),
    day date not null, -- in the shop's zone
    exported_at timestamptz not null, -- what was known then is in it
    added integer not null, -- rows: people put in, cards to print
    removed integer not null, -- people taken out
    written_at timestamptz, -- null: its files may not be complete
    primary key (campaign, step, number)
);
create index exports_unwritten on delivery.exports (campaign, step, number) where written_at is null;
