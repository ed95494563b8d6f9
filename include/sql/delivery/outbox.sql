-- name: store
-- One row per message of :claim kept in the outbox. In the transaction that settles it: there if and only if accepted.
insert into delivery.outbox (
    customer_id, message_key, channel, recipient, subject, text_body, html_body, headers, stored_at
)
select
    m.customer_id,
    m.message_key,
    m.channel,
    u.recipient,
    u.subject,
    u.text_body,
    u.html_body,
    cast(u.headers as jsonb),
    :now
from
    unnest(
        cast(:customer_ids as bigint[]), cast(:message_keys as text[]), cast(:recipients as text[]),
        cast(:subjects as text[]), cast(:text_bodies as text[]), cast(:html_bodies as text[]), cast(:headers as text[])
    ) as u (customer_id, message_key, recipient, subject, text_body, html_body, headers)
join delivery.messages as m
    on m.customer_id = u.customer_id
    and m.message_key = u.message_key
    and m.claim = cast(:claim as uuid)
    and m.state = 'accepted'
on conflict (customer_id, message_key) do nothing
returning customer_id;
