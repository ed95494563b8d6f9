-- One row per version of the campaign that has somebody inside, the oldest first.
select v.version, v.definition
from campaigns.versions as v
where v.campaign = :campaign
    and v.version in (select e.version from campaigns.enrolments as e where e.campaign = :campaign and e.exited_on is null)
order by v.first_used_on, v.version
