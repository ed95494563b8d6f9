-- The newest day that a part of a stage has done.
select max(day) as day
from shop.days
where stage = :stage and part = :part and state = 'done'
