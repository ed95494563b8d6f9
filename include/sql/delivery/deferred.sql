-- How many messages are due at :now but still planned: outside their window, waiting to be tried again, halted, blocked,
-- and of these how many a cap holds back.
select
    count(*) as messages,
    count(*) filter (where m.reason = 'capped') as capped
from delivery.messages as m
where m.state = 'planned'
    and m.due_at <= :now
    and (cast(:campaign as text) is null or m.campaign = :campaign)
