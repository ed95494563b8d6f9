-- One row per unknown message whose attempt began at :before or earlier, oldest first: the operator's list. No address.
select
    m.message_key,
    c.customer_ref,
    m.campaign,
    m.step,
    m.channel,
    m.reason,
    m.attempted_at,
    m.expires_at,
    m.looked_up_at
from delivery.messages as m
left join shop.customers as c on c.customer_id = m.customer_id
where m.state = 'unknown' and m.attempted_at <= :before
order by m.attempted_at, m.message_key
