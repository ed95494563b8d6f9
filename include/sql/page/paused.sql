-- One row per campaign that its file keeps from going on, with the published day since which it does.
select
    p.campaign,
    p.message,
    p.since_day
from campaigns.paused as p
where p.removed_on is null
order by p.campaign
