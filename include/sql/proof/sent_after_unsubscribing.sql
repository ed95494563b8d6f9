-- Nobody is written to who unsubscribed, complained or cannot be reached. One row per message that went out although the
-- customer was suppressed on its channel, known for a minute: what is received while a claim commits, it cannot know.
select distinct
    m.customer_id,
    m.message_key
from ({% include "proof/_went_out.sql" %}) as m
inner join shop.suppressions as s on s.customer_id = m.customer_id and s.channel in (m.channel, 'all')
where s.known_at <= m.went_at - interval '1 minute'
    and (s.lifted_at is null or s.lifted_at > m.went_at)
