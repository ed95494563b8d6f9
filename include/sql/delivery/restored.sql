-- One row per message that may have been sent between the backup and its restore: planned in the copy, due before the
-- restore and not expired before the backup. Nobody sends it again by itself: unknown. What a person has decided to
-- send again since stays, and so do audiences: to be put in twice is harmless.
update delivery.messages as m
set state = 'unknown',
    reason = 'restored',
    claim = r.claim,
    attempts = greatest(m.attempts, 1),
    attempted_at = r.restored_at,
    settled_at = r.restored_at,
    retry_at = null
from delivery.restores as r
where r.backup_at = :backup_at
    and m.state = 'planned'
    and m.channel <> 'audience'
    and m.due_at <= r.restored_at
    and m.expires_at > r.backup_at
    and not exists (
        select from delivery.decisions as x
        where x.customer_id = m.customer_id
            and x.message_key = m.message_key
            and x.decision = 'again'
            and x.decided_at >= r.restored_at
    )
returning m.customer_id
