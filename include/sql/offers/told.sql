-- name: coupons_to_tell
-- One row per coupon of which the shop was told something else, or nothing. It is told of reserved ones too, since a
-- customer may use a code the minute it is issued; not of redeemed ones, which it knows of.
select p.customer_id, p.campaign, p.entry_no, p.offer, p.code, p.state, p.percent, p.expires_at
from campaigns.coupons as p
left join campaigns.coupons_told as t
    on t.customer_id = p.customer_id and t.campaign = p.campaign and t.entry_no = p.entry_no and t.offer = p.offer
where p.state in ('reserved', 'issued', 'void')
    and (t.state is distinct from p.state or t.expires_at is distinct from p.expires_at)
    and (t.customer_id is not null or p.state <> 'void')
order by p.campaign, p.customer_id, p.entry_no, p.offer;

-- name: coupons_were_told
-- One row per coupon of which the shop is told now.
insert into campaigns.coupons_told (customer_id, campaign, entry_no, offer, state, expires_at, told_at)
select u.customer_id, u.campaign, u.entry_no, u.offer, u.state, u.expires_at, cast(:told_at as timestamptz)
from unnest(
    cast(:customer_ids as bigint[]), cast(:campaigns as text[]), cast(:entry_nos as integer[]), cast(:offers as text[]),
    cast(:states as text[]), cast(:expires_ats as timestamptz[])
) as u (customer_id, campaign, entry_no, offer, state, expires_at)
on conflict (customer_id, campaign, entry_no, offer) do update
set state = excluded.state, expires_at = excluded.expires_at, told_at = excluded.told_at
returning customer_id;
