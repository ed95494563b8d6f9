-- Nothing is forgotten half done. One row per message that a worker has been attempting for more than 24 hours.
select
    m.customer_id,
    m.message_key
from delivery.messages as m
where m.state = 'attempting' and coalesce(m.called_at, m.attempted_at) < :stuck_since
