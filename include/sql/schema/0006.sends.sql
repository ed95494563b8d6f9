-- What is sent once, by hand: an audience that is frozen and waits for somebody's approval.

create table campaigns.sends (
    send_id text primary key, -- campaign, day, and a digest of what was asked for: asking twice is asking once
    campaign text not null,
    version text not null,
    day date not null, -- as known at whose end it was frozen; everybody's entered_on
    send_on date not null, -- the customer's local date of a step on day 0
    asked jsonb not null, -- what the form said
    frozen_at timestamptz not null,
    expires_at timestamptz not null, -- without an answer by then nothing is sent
    state text not null default 'waiting' check (state in ('waiting', 'approved', 'rejected', 'expired')),
    decided_at timestamptz,
    decided_by text,
    check ((state = 'waiting') = (decided_at is null))
);

-- One row per member of the selection when it was frozen; nobody is added later.
create table campaigns.send_members (
    customer_id bigint not null,
    send_id text not null,
    reason text, -- why they are left out; null: it is sent to them
    primary key (customer_id, send_id)
);
create index send_members_of on campaigns.send_members (send_id);

alter table campaigns.enrolments
add column send_id text, -- of those who entered by hand
add column days_later integer not null default 0; -- by which each step is later than its day
