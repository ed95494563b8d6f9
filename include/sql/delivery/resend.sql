-- One row per message planned once more without a person: unknown since :before or earlier, its campaign says
-- `policy: resend`, its time is not over, and nobody has decided on it yet. Every rule is checked again by the claim.
update delivery.messages as m
set state = 'planned',
    reason = 'sent_again',
    settled_at = null,
    claim = null,
    provider = null,
    retry_at = null
from campaigns.versions as v
where v.campaign = m.campaign
    and v.version = m.version
    and v.definition ->> 'policy' = 'resend'
    and m.state = 'unknown'
    and m.reason <> 'cancelled' -- somebody wanted it stopped
    and m.attempted_at <= :before
    and m.expires_at > :now
    and not exists (
        select from delivery.decisions as x
        where x.customer_id = m.customer_id and x.message_key = m.message_key
    )
returning m.customer_id, m.message_key, m.campaign, m.entry_no, m.offer, m.state
