-- One row per step with cards kept before :now that are in no export, and the number of its next one.
select
    k.campaign,
    k.step,
    coalesce((select max(x.number) from delivery.exports as x where x.campaign = k.campaign and x.step = k.step), 0) + 1
        as number
from delivery.cards as k
where k.exported_in is null and k.kept_at < :now
group by k.campaign, k.step
order by k.campaign, k.step
