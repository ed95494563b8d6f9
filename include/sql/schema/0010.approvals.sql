-- An enrolment that is far above the usual size, or a campaign's first, waits until somebody approves it.

create table campaigns.approvals (
    approval_id text primary key, -- campaign, day, and which question of that day it is
    campaign text not null,
    day date not null, -- whose candidates they are; their entered_on
    version text not null,
    why text not null check (why in ('first_launch', 'above_median')),
    customers integer not null, -- candidates, both arms
    median numeric, -- of the entry days it was compared with; null: there are too few
    entered_change bigint not null, -- the newest change that was known when they were chosen
    state text not null check (state in ('waiting', 'approved', 'refused', 'automatic')),
    asked_at timestamptz not null,
    expires_at timestamptz not null, -- without an answer by then nobody enters
    decided_at timestamptz,
    decided_by text,
    check ((state = 'waiting') = (decided_at is null))
);
create index approvals_of on campaigns.approvals (campaign, day);

-- One row per customer who waits with an enrolment. No other campaign of the group takes them meanwhile.
create table campaigns.candidates (
    customer_id bigint not null,
    approval_id text not null,
    campaign text not null,
    group_name text,
    primary key (customer_id, approval_id)
);
create index candidates_of on campaigns.candidates (approval_id);
