-- One row per campaign of :claim whose e-mails SendGrid holds; in the transaction that settles them as accepted.
insert into delivery.batches (claim, campaign, batch_id, send_at)
select cast(:claim as uuid), u.campaign, u.batch_id, cast(:send_at as timestamptz)
from unnest(cast(:campaigns as text[]), cast(:batch_ids as text[])) as u (campaign, batch_id)
on conflict (claim, campaign, batch_id) do update set send_at = excluded.send_at
returning campaign
