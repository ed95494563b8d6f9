-- One row per message of a batch that SendGrid has cancelled. It promises nothing for what is due within ten minutes, so
-- they are unknown, not refused: a report can still show that one went out.
with cancelled as (
    update delivery.batches
    set cancelled_at = :now
    where batch_id = :batch_id and cancelled_at is null
    returning claim, campaign
)

update delivery.messages as m
set state = 'unknown', reason = 'cancelled'
from cancelled as b
where m.claim = b.claim
    and m.campaign = b.campaign
    and m.channel = 'email'
    and m.state = 'accepted'
returning m.customer_id
