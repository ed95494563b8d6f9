-- Nothing stale is sent. One row per message that went out when it had expired: by the real clock where a provider has it.
select
    m.customer_id,
    m.message_key
from ({% include "proof/_went_out.sql" %}) as m
where m.went_at >= m.expires_at
