-- One row per customer known by then, as known then.
create view {{ schema }}.customers as
select v.*
from shop.customer_versions as v
where v.known_at <= {{ known_by }} and v.superseded_at > {{ known_by }}
