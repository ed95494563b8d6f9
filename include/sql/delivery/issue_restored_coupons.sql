-- One row per coupon that may be out since its message was sent by the database lost: the code must work for whoever got
-- it. Nobody knows when that was; counted from the restore, no code ends before the time its message gave.
update campaigns.coupons as p
set state = 'issued',
    expires_at = date_add(
        r.restored_at, cast(v.definition #>> array['offers', p.offer, 'valid_for'] as interval), cast(:shop_zone as text)
    )
from delivery.messages as m
join delivery.restores as r on r.claim = m.claim
join campaigns.versions as v on v.campaign = m.campaign and v.version = m.version
where m.state = 'unknown'
    and p.customer_id = m.customer_id
    and p.campaign = m.campaign
    and p.entry_no = m.entry_no
    and p.offer = m.offer
    and p.state = 'reserved'
returning p.customer_id
