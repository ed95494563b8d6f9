-- One row per coupon issued: those of the messages just claimed. From now its time runs: days by the shop's calendar,
-- hours by the clock. A coupon that an earlier message carried keeps its expiry.
update campaigns.coupons as p
set state = 'issued',
    expires_at = date_add(
        cast(:now as timestamptz),
        cast(v.definition #>> array['offers', p.offer, 'valid_for'] as interval),
        cast(:shop_zone as text)
    )
from delivery.messages as m
join campaigns.versions as v on v.campaign = m.campaign and v.version = m.version
where m.claim = cast(:claim as uuid)
    and m.state = 'attempting'
    and p.customer_id = m.customer_id
    and p.campaign = m.campaign
    and p.entry_no = m.entry_no
    and p.offer = m.offer
    and p.state = 'reserved'
returning p.customer_id, p.campaign, p.entry_no, p.offer, p.expires_at
