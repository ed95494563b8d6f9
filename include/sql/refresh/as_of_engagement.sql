-- One row per customer whose engagement has not changed since then. It has no versions: of whoever showed interest
-- later nothing is said, which counts as not inactive.
create view {{ schema }}.engagement as
select e.*
from shop.engagement as e
where e.known_at <= {{ known_by }}
