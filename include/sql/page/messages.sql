-- One row per run day, campaign, step, channel, state and reason: messages of the runs of [first, last].
-- The campaigns come from their versions, so that the index on (campaign, day) is used.
select
    m.day,
    m.campaign,
    m.step,
    m.channel,
    m.state,
    m.reason,
    count(*) as messages
from delivery.messages as m
where m.campaign = any(cast(:campaigns as text[]))
    and m.day between cast(:first as date) and cast(:last as date)
group by m.day, m.campaign, m.step, m.channel, m.state, m.reason
order by m.day desc, m.campaign, m.step, m.channel, m.state, m.reason
