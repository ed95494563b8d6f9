-- A minimal customer is known from the first order on, also when a history brings an earlier one later.
update shop.customers as c
set known_at = s.known_at
from stage_seen as s
where s.customer_id = c.customer_id and s.known_at < c.known_at and c.updated_at = timestamptz '1900-01-01 00:00:00+00'
