-- One row per earlier published load of this feed on the same weekday, at most eight: how many rows it had.
select landed
from landing.loads
where source = :source and feed = :feed and day < :day and accepted is not null
    and extract(isodow from day) = extract(isodow from cast(:day as date))
order by day desc
limit 8
