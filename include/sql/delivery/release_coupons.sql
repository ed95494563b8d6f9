-- One row per coupon that nobody got: of the entries given, those whose offer no message carried out. It is reserved
-- again while a message is still planned with it, else void. A function of the ledger, so safe to run again.
update campaigns.coupons as p
set state = case
        when exists (
            select from delivery.messages as w
            where w.customer_id = p.customer_id
                and w.campaign = p.campaign
                and w.entry_no = p.entry_no
                and w.offer = p.offer
                and w.state = 'planned'
        ) then 'reserved'
        else 'void'
    end,
    expires_at = null
from unnest(
    cast(:customer_ids as bigint[]), cast(:campaigns as text[]), cast(:entry_nos as integer[]), cast(:offers as text[])
) as u (customer_id, campaign, entry_no, offer)
where p.customer_id = u.customer_id
    and p.campaign = u.campaign
    and p.entry_no = u.entry_no
    and p.offer = u.offer
    and p.state in ('reserved', 'issued')
    and not exists (
        select from delivery.messages as o
        where o.customer_id = p.customer_id
            and o.campaign = p.campaign
            and o.entry_no = p.entry_no
            and o.offer = p.offer
            and o.state in ('attempting', 'accepted', 'delivered', 'bounced', 'unknown')
    )
returning p.customer_id, p.state
