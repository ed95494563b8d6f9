-- One row per message that may have been sent between the backup and its restore: planned in the copy, due before the
-- restore and not expired before the backup. Nobody sends it again by itself: unknown. What a person has decided to
-- send again since stays, and so do audiences: to be put in twice is harmless.
{% from "delivery/macros.sql" import may_be_lost %}
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
    and {{ may_be_lost("m", "r") }}
returning m.customer_id
