-- One row per message of :claim that is printed as a card. In the transaction that settles it: there if and only if
-- accepted.
insert into delivery.cards (
    customer_id, message_key, campaign, step, language, recipient, street, postal_code, city, country, card, kept_at
)
select
    m.customer_id,
    m.message_key,
    m.campaign,
    m.step,
    u.language,
    u.recipient,
    u.street,
    u.postal_code,
    u.city,
    u.country,
    u.card,
    :now
from
    unnest(
        cast(:customer_ids as bigint[]), cast(:message_keys as text[]), cast(:languages as text[]),
        cast(:recipients as text[]), cast(:street as text[]), cast(:postal_code as text[]), cast(:city as text[]),
        cast(:country as text[]), cast(:cards as text[])
    ) as u (customer_id, message_key, language, recipient, street, postal_code, city, country, card)
join delivery.messages as m
    on m.customer_id = u.customer_id
    and m.message_key = u.message_key
    and m.claim = cast(:claim as uuid)
    and m.state = 'accepted'
on conflict (customer_id, message_key) do nothing
returning customer_id
