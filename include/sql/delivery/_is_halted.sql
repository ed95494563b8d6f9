-- True while a halt, or the want of its file, keeps :campaign, or a channel, from leaving as files. Inside a
-- with channel = "...", an expression.
exists (
    select from campaigns.paused as x where x.campaign = :campaign
    union all

    select from delivery.halts as h
    where h.kind = 'all' or (h.kind = 'campaign' and h.name = :campaign) or (h.kind = 'channel' and h.name = {{ channel }})
)
