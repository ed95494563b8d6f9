-- The oldest published day before :day that this part of the stage is still to do, counted from the first day it ever
-- began. A part that never began has no past to catch up: a new campaign starts on its first day. Nor does a day come up
-- that was published only after this part had gone past it, as by the load of an old history: time does not run back.
select min(published.day) as day
from shop.days as published
where published.stage = 'orders'
    and published.state = 'done'
    and published.day < :day
    and published.day >= (select min(begun.day) from shop.days as begun where begun.stage = :stage and begun.part = :part)
    and published.day > coalesce((
        select max(done.day) from shop.days as done where done.stage = :stage and done.part = :part and done.state = 'done'
    ), '-infinity')
