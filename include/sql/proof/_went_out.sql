-- True of a message m that was handed over at attempted_at, or may have been. Not of those a restore made unknown: what
-- stands there is when the restore was, not when they went out.
m.state in ('attempting', 'accepted', 'delivered', 'bounced', 'unknown')
and not exists (select from delivery.restores as r where r.claim = m.claim)
