-- True while message m may still be claimed at an instant: nothing halts it, and its campaign is not paused for want of
-- a file. Read as halts and pauses stand now.
not exists (select from campaigns.paused as x where x.campaign = m.campaign)
and not exists (
    select from delivery.halts as h
    where h.kind = 'all'
        or (h.kind = 'campaign' and h.name = m.campaign)
        or (h.kind = 'channel' and h.name = m.channel)
)
