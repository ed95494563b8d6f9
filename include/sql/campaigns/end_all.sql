-- Ends all open enrolments of a campaign that was removed, as of day. Returns how many.
with written as (
    update campaigns.enrolments as e
    set exited_on = greatest(e.entered_on, cast(:day as date)), exit_reason = 'campaign_removed'
    where e.campaign = :campaign and e.exited_on is null
    returning e.customer_id
)

select count(*) from written
