-- name: keep_batches
-- One row per campaign of :claim whose e-mails SendGrid holds; in the transaction that settles them as accepted.
insert into delivery.batches (claim, campaign, batch_id, send_at)
select cast(:claim as uuid), u.campaign, u.batch_id, cast(:send_at as timestamptz)
from unnest(cast(:campaigns as text[]), cast(:batch_ids as text[])) as u (campaign, batch_id)
on conflict (claim, campaign, batch_id) do update set send_at = excluded.send_at
returning campaign;

-- name: held_batches
-- One row per batch that SendGrid still holds at :now, of one campaign or of all: the one that is due last goes first.
select b.batch_id
from delivery.batches as b
where b.cancelled_at is null
    and b.send_at > :now
    and (cast(:campaign as text) is null or b.campaign = :campaign)
group by b.batch_id
order by max(b.send_at) desc, b.batch_id;

-- name: cancel_batch
-- One row per claim and campaign of a batch that SendGrid has cancelled.
update delivery.batches
set cancelled_at = :now
where batch_id = :batch_id and cancelled_at is null
returning claim, campaign;
