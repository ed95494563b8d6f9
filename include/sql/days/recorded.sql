-- One row if this part of the stage has done the day: what it counted then.
select counts
from shop.days
where day = :day and stage = :stage and part = :part and state = 'done'
