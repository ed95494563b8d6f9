-- The ledger: one row per message, its key derived from customer, campaign, entry, step and channel. docs/states.md
-- draws the states; only the statements in sql/delivery and sql/campaigns/plan.sql move a row.
create table delivery.messages (
    customer_id bigint not null,
    message_key text not null,
    campaign text not null,
    version text not null,
    entry_no integer not null,
    step text not null,
    channel text not null check (channel in ('email', 'sms')),
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
    attempted_at timestamptz,
    settled_at timestamptz,
    provider_id text,
    primary key (customer_id, message_key),
    unique (customer_id, campaign, entry_no, step, channel),
    check (expires_at > due_at),
    check (state not in ('skipped', 'refused', 'unknown') or reason is not null),
    check (state not in ('attempting', 'accepted', 'delivered', 'bounced', 'refused', 'unknown')
        or (attempts > 0 and claim is not null and attempted_at is not null)),
    check (state not in ('accepted', 'delivered', 'bounced', 'refused', 'unknown', 'skipped') or settled_at is not null)
);
create index messages_due on delivery.messages (due_at) where state = 'planned';
create index messages_attempting on delivery.messages (claim) where state = 'attempting';
create index messages_unknown on delivery.messages (attempted_at) where state = 'unknown'; -- the operator's list
create index messages_by_day on delivery.messages (campaign, day);

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

-- What is halted: everything, a campaign or a channel. The claim reads it.
create table delivery.halts (
    kind text not null check (kind in ('all', 'campaign', 'channel')),
    name text not null, -- empty for all
    halted_at timestamptz not null default now(),
    primary key (kind, name)
);
