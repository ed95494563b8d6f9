-- How many events still wait for their message.
select count(*) as events
from events.received
where applied_at is null
