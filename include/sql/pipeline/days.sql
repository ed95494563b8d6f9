-- name: unplayed
-- Published days whose sends have not been played, oldest first: from the first day that any campaign began, to :until.
select published.day
from shop.days as published
where published.stage = 'orders'
    and published.state = 'done'
    and published.day <= :until
    and published.day >= (select min(begun.day) from shop.days as begun where begun.stage = 'campaigns')
    and not exists (
        select from shop.days as played
        where played.day = published.day and played.stage = 'delivery' and played.part = '' and played.state = 'done'
    )
group by published.day
order by published.day;

-- name: waited_for
-- One row per campaign whose day the sends of :day wait for: it has neither done the day nor failed, and no selection that
-- it needs has failed. What failed on an earlier day and was not done since counts too: it holds up all days after it.
select c.campaign
from unnest(cast(:campaigns as text[]), cast(:selections as text[])) as c (campaign, selection)
where not exists (
    select from shop.days as d
    where d.day = :day and d.stage = 'campaigns' and d.part = c.campaign and d.state = 'done'
)
and not exists (
    select from shop.days as f
    where f.day <= :day
        and f.state = 'failed'
        and (
            (f.stage = 'campaigns' and split_part(f.part, ':', 1) = c.campaign)
            or (f.stage = 'selections' and f.part in (c.selection, 'send_base'))
        )
        and not exists (
            select from shop.days as d
            where d.stage = f.stage and d.part = split_part(f.part, ':', 1) and d.state = 'done' and d.day >= f.day
        )
)
order by c.campaign;
