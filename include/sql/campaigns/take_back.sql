-- Skips all planned messages of a campaign that was removed. Returns how many.
with written as (
    update delivery.messages as m
    set state = 'skipped', reason = 'campaign_removed', settled_at = :known_by, retry_at = null
    where m.campaign = :campaign and m.state = 'planned'
    returning m.customer_id
)

select count(*) from written
