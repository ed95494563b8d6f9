-- One row per order known by then, as known then.
create view {{ schema }}.orders as
select v.*
from shop.order_versions as v
where v.known_at <= {{ known_by }} and v.superseded_at > {{ known_by }}
