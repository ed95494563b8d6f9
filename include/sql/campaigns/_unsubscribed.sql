-- A predicate over the enrolment e: as known at known_by, its customer has unsubscribed from e-mail or from everything.
exists (
    select from shop.suppressions as s
    where s.customer_id = e.customer_id
        and s.channel in ('email', 'all')
        and s.reason = 'unsubscribed'
        and s.known_at <= :known_by
        and (s.lifted_at is null or s.lifted_at > :known_by)
)
