-- One row per day and source: did every suite hold, and how many expectations did not. A history has no day.
-- A load that was landed and never validated has suites = 0.
select
    l.day,
    l.load_key,
    l.source,
    sum(l.landed) as landed,
    sum(l.accepted) as accepted,
    sum(l.rejected) as rejected,
    max(l.landed_at) as landed_at,
    sum(v.suites) as suites,
    sum(v.failed_suites) as failed_suites,
    sum(v.failed_expectations) as failed_expectations
from landing.loads as l
cross join lateral (
    select
        count(*) as suites,
        count(*) filter (where not s.success) as failed_suites,
        coalesce(sum(jsonb_array_length(jsonb_path_query_array(s.results, '$.results[*] ? (@.success == false)'))), 0)
            as failed_expectations
    from landing.validations as s
    where s.load_id = l.load_id
) as v
where l.day between cast(:first as date) and cast(:last as date)
    or (l.day is null and :with_histories)
group by l.day, l.load_key, l.source
order by l.day desc nulls last, l.source
