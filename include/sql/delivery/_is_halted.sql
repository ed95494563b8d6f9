-- True while a halt keeps :campaign, or a channel, from leaving as files. Inside a with channel = "...", an expression.
exists (
    select from delivery.halts as h
    where h.kind = 'all' or (h.kind = 'campaign' and h.name = :campaign) or (h.kind = 'channel' and h.name = {{ channel }})
)
