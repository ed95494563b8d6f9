-- One row per campaign of :names that is not over: somebody is inside, or in its audience, or a message is planned.
select e.campaign
from campaigns.enrolments as e
where e.campaign = any(cast(:names as text[])) and e.exited_on is null
union
select m.campaign
from delivery.messages as m
where m.campaign = any(cast(:names as text[])) and m.state = 'planned'
union
select a.campaign
from delivery.audience_members as a
where a.campaign = any(cast(:names as text[])) and a.left_at is null and a.removed_in is null
order by campaign
