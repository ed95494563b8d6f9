-- Voids the codes that were reserved for enrolments that ended on day and never sent. Returns how many.
with written as (
    update campaigns.coupons as c
    set state = 'void'
    from campaigns.enrolments as e
    where e.customer_id = c.customer_id
        and e.campaign = c.campaign
        and e.entry_no = c.entry_no
        and e.campaign = :campaign
        and e.exited_on = :day
        and c.state = 'reserved'
    returning c.customer_id
)

select count(*) from written
