-- One row per suite that validated one of these loads, with the result as Great Expectations gave it.
select
    v.load_id,
    v.suite,
    v.success,
    v.results,
    v.validated_at
from landing.validations as v
where v.load_id = any(cast(:load_ids as bigint[]))
order by v.load_id, v.suite
