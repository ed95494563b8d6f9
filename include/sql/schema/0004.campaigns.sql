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
    exit_reason text, -- order, unsubscribe, left_selection, finished
    primary key (customer_id, campaign, entry_no),
    check ((exited_on is null) = (exit_reason is null)),
    check (exited_on >= entered_on)
);
create unique index enrolments_open on campaigns.enrolments (customer_id, campaign) where exited_on is null;
create index enrolments_by_day on campaigns.enrolments (campaign, entered_on);

-- Why a member of the campaign's selection was not enrolled: one row each time the answer changes.
create table campaigns.decisions (
    customer_id bigint not null,
    campaign text not null,
    decided_on date not null,
    decision text not null, -- enrolled, waits, refused
    reason text not null, -- selected, control, entry_limit, not_in_send_base, re_entry
    primary key (customer_id, campaign, decided_on)
);

-- One code per customer, entry and offer.
create table campaigns.coupons (
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
