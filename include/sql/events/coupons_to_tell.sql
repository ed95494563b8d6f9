-- One row per coupon of which the shop was told something else, or nothing. It is told of reserved ones too, since a
-- customer may use a code the minute it is issued; not of redeemed ones, which it knows of.
select p.customer_id, p.campaign, p.entry_no, p.offer, p.code, p.state, p.percent, p.expires_at
from campaigns.coupons as p
left join campaigns.coupons_told as t
    on t.customer_id = p.customer_id and t.campaign = p.campaign and t.entry_no = p.entry_no and t.offer = p.offer
where p.state in ('reserved', 'issued', 'void')
    and (t.state is distinct from p.state or t.expires_at is distinct from p.expires_at)
    and (t.customer_id is not null or p.state <> 'void')
order by p.campaign, p.customer_id, p.entry_no, p.offer
