-- One row per stage and part: the days between which it runs. A part that ran lately is expected on every published day.
select
    d.stage,
    d.part,
    min(d.day) as first_day,
    max(d.day) as last_day
from shop.days as d
group by d.stage, d.part
