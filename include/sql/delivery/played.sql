-- What the sends in [:from, :until) came to, counted in the ledger: the same after a crash as without one.
-- A message skipped by a claim carries the claim; one skipped by its campaign does not.
select
    count(*) filter (where m.state in ('accepted', 'delivered', 'bounced') and m.attempted_at >= :from
        and m.attempted_at < :until) as accepted,
    count(*) filter (where m.state = 'refused' and m.attempted_at >= :from and m.attempted_at < :until) as refused,
    count(*) filter (where m.state = 'unknown' and m.attempted_at >= :from and m.attempted_at < :until) as unknown,
    count(*) filter (where m.state = 'planned' and m.due_at < :until) as deferred,
    count(*) filter (where m.state = 'skipped' and m.claim is not null and m.settled_at >= :from
        and m.settled_at < :until) as skipped
from delivery.messages as m
where m.due_at < :until
