-- What providers report. A report's row holds no address and no text: who it is about says customer_id.

create schema events;

create table events.received (
    customer_id bigint not null,
    event_key text not null, -- the provider's id of the event, so that a report that comes twice is one row
    provider text not null check (provider in ('sendgrid', 'twilio')),
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
