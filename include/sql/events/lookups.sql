-- name: to_look_up
-- One row per message that a provider may have sent and nobody knows of, attempted by :before: the least recently
-- looked up first, on :channels. With what a text can be told by: the number it went to, the code in it, and since when
-- it may have gone.
select
    m.customer_id,
    m.message_key,
    m.channel,
    case when m.reason = 'restored' then m.due_at else m.attempted_at end as begun_at,
    m.settled_at,
    c.phone,
    p.code
from delivery.messages as m
left join shop.customer_versions as c
    on c.customer_id = m.customer_id and c.known_at <= m.attempted_at and c.superseded_at > m.attempted_at
left join offers.coupons as p
    on p.customer_id = m.customer_id and p.campaign = m.campaign and p.entry_no = m.entry_no and p.offer = m.offer
where m.state = 'unknown'
    and m.channel = any(:channels)
    and m.reason <> 'cancelled' -- that SendGrid had it is known
    and m.attempted_at <= :before
    and coalesce(m.provider, '') <> 'outbox'
order by m.looked_up_at nulls first, m.attempted_at, m.message_key;

-- name: texts_to
-- One row per other text of ours that went to :phone, or may have gone there: to whoever has this number, or had it.
select
    m.provider_id,
    case when m.reason = 'restored' then m.due_at else m.attempted_at end as begun_at,
    coalesce(m.settled_at, 'infinity') as ended_at
from delivery.messages as m
where m.channel = 'sms'
    and m.message_key <> :message_key
    and m.state in ('attempting', 'accepted', 'delivered', 'bounced', 'refused', 'unknown')
    and m.attempted_at is not null
    and (m.provider_id is not null or m.state in ('attempting', 'unknown'))
    and m.customer_id in (
        select c.customer_id
        from shop.customer_versions as c
        where c.phone = :phone
    );
