-- One row per audience with somebody to put in or take out at :now, and the number of its next export.
select
    m.campaign,
    m.step,
    coalesce((select max(x.number) from delivery.exports as x where x.campaign = m.campaign and x.step = m.step), 0) + 1
        as number
from delivery.audience_members as m
where m.removed_in is null
    and ((m.added_in is null and m.left_at is null and m.kept_at < :now) or (m.added_in is not null and m.left_at is not null))
group by m.campaign, m.step
order by m.campaign, m.step
