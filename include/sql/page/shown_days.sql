-- One row per day that some stage has done or tried, newest first, not after :until.
select distinct d.day
from shop.days as d
where d.day <= cast(:until as date)
order by d.day desc
limit :number
