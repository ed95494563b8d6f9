-- One row per campaign that somebody was ever enrolled with and that has no file: it is none of :names.
select distinct v.campaign
from campaigns.versions as v
where not v.campaign = any(cast(:names as text[]))
order by v.campaign
