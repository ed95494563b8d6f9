-- True while message m may still be claimed at an instant: nothing halts it. Read as the halts stand now.
not exists (
    select from delivery.halts as h
    where h.kind = 'all'
        or (h.kind = 'campaign' and h.name = m.campaign)
        or (h.kind = 'channel' and h.name = m.channel)
)
