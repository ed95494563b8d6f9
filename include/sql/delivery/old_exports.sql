-- One row per export of :channel, complete, whose folder is still there although it is older than :before.
select
    x.campaign,
    coalesce((select f.first_name from campaigns.first_names as f where f.campaign = x.campaign), x.campaign) as known_as,
    x.step,
    x.number,
    x.channel,
    x.day,
    x.exported_at,
    x.added,
    x.removed,
    x.written_at
from delivery.exports as x
where x.channel = :channel and x.written_at is not null and x.deleted_at is null and x.day < :before
order by x.exported_at, x.campaign, x.step, x.number
