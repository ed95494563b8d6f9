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
order by published.day
