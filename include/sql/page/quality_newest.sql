-- The newest load with a day, else a history: what the data quality view opens with. Null in an empty shop.
select l.load_key
from landing.loads as l
where cast(:source as text) is null or l.source = :source
order by l.day desc nulls last, l.load_id desc
limit 1
