-- One row per coupon of which the shop is told now.
insert into campaigns.coupons_told (customer_id, campaign, entry_no, offer, state, expires_at, told_at)
select u.customer_id, u.campaign, u.entry_no, u.offer, u.state, u.expires_at, cast(:told_at as timestamptz)
from unnest(
    cast(:customer_ids as bigint[]), cast(:campaigns as text[]), cast(:entry_nos as integer[]), cast(:offers as text[]),
    cast(:states as text[]), cast(:expires_ats as timestamptz[])
) as u (customer_id, campaign, entry_no, offer, state, expires_at)
on conflict (customer_id, campaign, entry_no, offer) do update
set state = excluded.state, expires_at = excluded.expires_at, told_at = excluded.told_at
returning customer_id
