-- name: days_done
-- One row per part given that has done the day: what it counted, by what, and how much it had seen.
select d.stage, d.part, d.counts, d.definition, d.watermark
from unnest(cast(:stages as text[]), cast(:parts as text[])) as asked (stage, part)
inner join shop.days as d on d.stage = asked.stage and d.part = asked.part
where d.day = :day and d.state = 'done';

-- name: first_pending_day
-- The oldest published day before :day that this part of the stage is still to do, counted from the first day it ever
-- began. A part that never began has no past to catch up: a new campaign starts on its first day. Nor does a day come
-- up that was published only after this part had gone past it, as by the load of an old history: time does not run
-- back.
select min(published.day) as day
from shop.days as published
where published.stage = 'orders'
    and published.state = 'done'
    and published.day < :day
    and published.day >= (
        select min(begun.day)
        from shop.days as begun
        where begun.stage = :stage and begun.part = :part
    )
    and published.day > coalesce((
        select max(done.day)
        from shop.days as done
        where done.stage = :stage and done.part = :part and done.state = 'done'
    ), '-infinity');

-- name: first_published
-- The first day from :since on whose orders are published; null if there is none.
select min(day) as day
from shop.days
where stage = 'orders' and state = 'done' and day >= :since;

-- name: newest_day_done
-- The newest day that a part of a stage has done, of all or of those before :before.
select max(day) as day
from shop.days
where stage = :stage and part = :part and state = 'done' and day < coalesce(cast(:before as date), 'infinity');

-- name: newest_published
-- The newest day whose orders are published; null in an empty shop.
select max(day) as day
from shop.days
where stage = 'orders' and state = 'done';

-- name: publication
-- One row: whether the orders of :day are published, and the newest day whose orders are; null in an empty shop.
select
    exists (select from shop.days where stage = 'orders' and state = 'done' and day = :day) as is_published,
    (select max(day) from shop.days where stage = 'orders' and state = 'done') as newest;

-- name: record_day
-- One row per day, stage and part. A day done stays done: a late "running" or "failed" does not undo it.
insert into shop.days as d (day, stage, part, state, counts, message, definition, watermark)
values (:day, :stage, :part, :state, cast(:counts as jsonb), :message, :definition, cast(:watermark as bigint))
on conflict (day, stage, part) do update
    set state = excluded.state, counts = excluded.counts, message = excluded.message, definition = excluded.definition,
        watermark = excluded.watermark, recorded_at = excluded.recorded_at
    where d.state <> 'done' or excluded.state = 'done';
