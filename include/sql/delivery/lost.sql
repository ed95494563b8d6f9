-- One row per group of messages that are unknown since :before or earlier and were lost together: one claim, one step,
-- one reason. A person decides on the group. No address.
select
    cast(m.claim as text) as claim,
    m.campaign,
    m.step,
    m.channel,
    m.reason,
    count(*) as messages,
    min(m.attempted_at) as since,
    max(m.attempted_at) as until,
    count(m.looked_up_at) as looked_up,
    count(*) filter (where m.expires_at > :now) as in_time
from delivery.messages as m
where m.state = 'unknown' and m.attempted_at <= :before
group by m.claim, m.campaign, m.step, m.channel, m.reason
order by since, m.campaign, m.step, m.reason
