-- One row if this part of the stage has done the day: what it counted, by what, and how much it had seen.
select counts, definition, watermark
from shop.days
where day = :day and stage = :stage and part = :part and state = 'done'
