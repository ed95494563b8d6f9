-- Where both names had a customer inside, the entry under the new name ends; the one under the old name goes on where it
-- was. Returns how many ended.
with written as (
    update campaigns.enrolments as e
    set exited_on = greatest(e.entered_on, cast(:day as date)), exit_reason = 'campaign_removed'
    where e.campaign = :new
        and e.exited_on is null
        and exists (
            select from campaigns.enrolments as o
            where o.customer_id = e.customer_id and o.campaign = :old and o.exited_on is null
        )
    returning e.customer_id
)

select count(*) from written
