-- One row per suppression known by then and not lifted by then; a later lifting was not known.
create view {{ schema }}.suppressions as
select
    s.customer_id,
    s.channel,
    s.reason,
    s.known_at,
    cast(null as timestamptz) as lifted_at
from shop.suppressions as s
where s.known_at <= {{ known_by }} and (s.lifted_at is null or s.lifted_at > {{ known_by }})
