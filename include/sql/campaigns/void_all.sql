-- Voids the codes of a campaign that was removed which are still reserved: nobody got them. Returns how many.
with written as (
    update campaigns.coupons as c
    set state = 'void'
    where c.campaign = :campaign and c.state = 'reserved'
    returning c.customer_id
)

select count(*) from written
