-- One row per code that was reserved for a message of :step and that no message brings any more: it is void.
update campaigns.coupons as c
set state = 'void'
from delivery.messages as m
where m.campaign = :campaign
    and m.version = :version
    and m.step = :step
    and m.state = 'skipped'
    and c.customer_id = m.customer_id
    and c.campaign = m.campaign
    and c.entry_no = m.entry_no
    and c.offer = m.offer
    and c.state = 'reserved'
    and not exists (
        select from delivery.messages as o
        where o.customer_id = c.customer_id
            and o.campaign = c.campaign
            and o.entry_no = c.entry_no
            and o.offer = c.offer
            and o.state <> 'skipped'
    )
returning c.customer_id
