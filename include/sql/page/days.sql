-- name: limit
-- Side effect: statements of this transaction end after 15 seconds. A page that does not come is worse than one that
-- says so.
select set_config('statement_timeout', '15s', true);

-- name: shown_days
-- One row per day that some stage has done or tried, newest first, not after :until (null: all).
select distinct d.day
from shop.days as d
where d.day <= coalesce(cast(:until as date), 'infinity')
order by d.day desc
limit :number;

-- name: newer_day
-- The last of the next :number days after :until; null if there is none.
select max(n.day) as day
from (
    select distinct d.day
    from shop.days as d
    where d.day > coalesce(cast(:until as date), 'infinity')
    order by d.day
    limit :number
) as n;

-- name: records
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
order by d.day desc, d.stage, d.part;

-- name: parts
-- One row per stage and part: the days between which it runs. A part that ran lately is expected on every published
-- day.
select
    d.stage,
    d.part,
    min(d.day) as first_day,
    max(d.day) as last_day
from shop.days as d
group by d.stage, d.part;
