-- The keys of the messages of one such group that are still unknown.
select m.message_key
from delivery.messages as m
where m.state = 'unknown'
    and m.claim = cast(:claim as uuid)
    and m.campaign = :campaign
    and m.step = :step
    and m.channel = :channel
    and m.reason = :reason
    and m.attempted_at <= :until
order by m.message_key
