-- The oldest published day before :day that this part of the stage has not done, counted from the first day it ever
-- began. A part that never began has no past to catch up: a new campaign starts on its first day.
select min(published.day) as day
from shop.days as published
where published.stage = 'orders'
    and published.state = 'done'
    and published.day < :day
    and published.day >= (select min(begun.day) from shop.days as begun where begun.stage = :stage and begun.part = :part)
    and not exists (
        select from shop.days as done
        where done.day = published.day and done.stage = :stage and done.part = :part and done.state = 'done'
    )
