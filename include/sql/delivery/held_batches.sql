-- One row per batch that SendGrid still holds at :now, of one campaign or of all: the one that is due last goes first.
select b.batch_id
from delivery.batches as b
where b.cancelled_at is null
    and b.send_at > :now
    and (cast(:campaign as text) is null or b.campaign = :campaign)
group by b.batch_id
order by max(b.send_at) desc, b.batch_id
