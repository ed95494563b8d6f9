-- A predicate over the enrolment e: as known at known_by, its customer has unsubscribed from e-mail or from everything,
-- by link, by a text that says STOP, or by a complaint.
exists (
    select from shop.suppressions as s
    where s.customer_id = e.customer_id
        and s.channel in ('email', 'all')
        and s.reason in ('unsubscribed', 'stopped', 'complaint')
        and s.known_at <= :known_by
        and (s.lifted_at is null or s.lifted_at > :known_by)
)
