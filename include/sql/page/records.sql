-- One row per day, stage and part of [first, last]: what became of it.
select
    d.day,
    d.stage,
    d.part,
    d.state,
    d.counts,
    d.message,
    d.recorded_at
from shop.days as d
where d.day between cast(:first as date) and cast(:last as date)
order by d.day desc, d.stage, d.part
