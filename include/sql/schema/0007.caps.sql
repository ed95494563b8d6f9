-- Frequency caps, what an operator decides about unknown messages, restores from a backup.

-- One row per line of caps.yaml and the time it was in force, so that the proof holds a message against the caps of its
-- own time. in_force_until null: in force.
create table delivery.caps (
    channel text not null check (channel in ('email', 'sms', 'all')),
    at_most integer not null check (at_most > 0),
    hours integer not null check (hours > 0), -- the length of the sliding window
    in_force_from timestamptz not null,
    in_force_until timestamptz,
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

-- One row per decision of a person about an unknown message.
create table delivery.decisions (
    customer_id bigint not null,
    message_key text not null,
    decided_at timestamptz not null,
    decision text not null check (decision in ('sent', 'again')),
    decided_by text not null,
    primary key (customer_id, message_key, decided_at)
);
