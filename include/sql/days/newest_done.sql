-- The newest day that a part of a stage has done, of all or of those before :before.
select max(day) as day
from shop.days
where stage = :stage and part = :part and state = 'done' and day < coalesce(cast(:before as date), 'infinity')
