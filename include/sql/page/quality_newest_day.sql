-- The newest day with a load, not after :last; null if there is none.
select max(l.day) as day
from landing.loads as l
where l.day <= cast(:last as date)
