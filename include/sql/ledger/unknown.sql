{% from "delivery/macros.sql" import may_be_lost %}

-- name: unknown
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
order by m.attempted_at, m.message_key;

-- name: state_of
-- What has become of the message with :message_key.
select state, reason, expires_at
from delivery.messages
where message_key = :message_key;

-- name: settle_unknown
-- One row: the unknown message a person has decided on. Sent: accepted. Again: planned once more, and every rule is
-- checked again by the claim; only while its window is open, since it could not be sent later than that.
update delivery.messages as m
set state = case when :decision = 'sent' then 'accepted' else 'planned' end,
    reason = case when :decision = 'sent' then 'settled_by' else 'sent_again' end,
    settled_at = case when :decision = 'sent' then cast(:now as timestamptz) end,
    claim = case when :decision = 'sent' then m.claim end,
    provider = case when :decision = 'sent' then m.provider end,
    retry_at = null
where m.message_key = :message_key
    and m.state = 'unknown'
    and (:decision = 'sent' or m.expires_at > :now)
returning m.customer_id, m.campaign, m.entry_no, m.offer, m.state;

-- name: record_decision
-- Who decided what about an unknown message, and when; beside the message, in one transaction.
insert into delivery.decisions (customer_id, message_key, decided_at, decision, decided_by)
values (:customer_id, :message_key, :now, :decision, :decided_by);

-- name: lost
-- One row per group of messages that are unknown since :before or earlier and were lost together: one claim, one step,
-- one reason. A person decides on the group. No address.
select
    cast(m.claim as text) as claim,
    m.campaign,
    m.step,
    m.channel,
    m.reason,
    count(*) as messages,
    min(m.attempted_at) as since,
    max(m.attempted_at) as until,
    count(m.looked_up_at) as looked_up,
    count(*) filter (where m.expires_at > :now) as in_time
from delivery.messages as m
where m.state = 'unknown' and m.attempted_at <= :before
group by m.claim, m.campaign, m.step, m.channel, m.reason
order by since, m.campaign, m.step, m.reason;

-- name: lost_keys
-- The keys of the messages of one such group that are still unknown.
select m.message_key
from delivery.messages as m
where m.state = 'unknown'
    and m.claim = cast(:claim as uuid)
    and m.campaign = :campaign
    and m.step = :step
    and m.channel = :channel
    and m.reason = :reason
    and m.attempted_at <= :until
order by m.message_key;

-- name: resend
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
returning m.customer_id, m.message_key, m.campaign, m.entry_no, m.offer, m.state;

-- name: record_restore
-- A restore is recorded once per backup: asked for again, the instants of the first time stay.
insert into delivery.restores (claim, backup_at, restored_at)
values (cast(:claim as uuid), :backup_at, :now)
on conflict (backup_at) do nothing;

-- name: restored
-- One row per message that may have been sent between the backup and its restore: planned in the copy, due before the
-- restore and not expired before the backup. Nobody sends it again by itself: unknown. What a person has decided to
-- send again since stays, and so do audiences: to be put in twice is harmless.
update delivery.messages as m
set state = 'unknown',
    reason = 'restored',
    claim = r.claim,
    attempts = greatest(m.attempts, 1),
    attempted_at = r.restored_at,
    settled_at = r.restored_at,
    retry_at = null
from delivery.restores as r
where r.backup_at = :backup_at
    and m.state = 'planned'
    and {{ may_be_lost("m", "r") }}
returning m.customer_id;

-- name: looked_up
-- The provider had nothing to show for this message at :now. That is no proof: it stays unknown.
update delivery.messages as m
set looked_up_at = :now
where m.customer_id = :customer_id and m.message_key = :message_key and m.state = 'unknown'
returning m.customer_id;

-- name: call_back
-- One row per message of a batch that SendGrid has cancelled, by claim and campaign. It promises nothing for what is due
-- within ten minutes, so they are unknown, not refused: a report can still show that one went out.
update delivery.messages as m
set state = 'unknown', reason = 'cancelled'
from unnest(cast(:claims as uuid[]), cast(:campaigns as text[])) as b (claim, campaign)
where m.claim = b.claim
    and m.campaign = b.campaign
    and m.channel = 'email'
    and m.state = 'accepted'
returning m.customer_id;
