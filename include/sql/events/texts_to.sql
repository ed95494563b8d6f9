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
    )
