-- Everybody leaves the audiences of a campaign that was removed, those too whose enrolment is finished: the next export
-- takes them out. Returns how many.
with written as (
    update delivery.audience_members as a
    set left_at = greatest(a.kept_at, cast(:known_by as timestamptz)), left_reason = 'campaign_removed'
    where a.campaign = :campaign and a.left_at is null
    returning a.customer_id
)

select count(*) from written
