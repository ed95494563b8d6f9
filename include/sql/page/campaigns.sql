-- One row per campaign that somebody was ever enrolled with.
select distinct v.campaign
from campaigns.versions as v
order by v.campaign
