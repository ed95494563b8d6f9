-- name: quality_newest
-- The newest load with a day, else a history: what the data quality view opens with. Null in an empty shop.
select l.load_key
from landing.loads as l
where cast(:source as text) is null or l.source = :source
order by l.day desc nulls last, l.load_id desc
limit 1;

-- name: quality_newest_day
-- The newest day with a load, not after :last; null if there is none.
select max(l.day) as day
from landing.loads as l
where l.day <= cast(:last as date);

-- name: quality_by_day
-- One row per day and source, and per history, which has no day: did every suite hold, and how many expectations did
-- not.
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
cross join
    lateral (
        select
            count(*) as suites,
            count(*) filter (where not s.success) as failed_suites,
            coalesce(
                sum(jsonb_array_length(jsonb_path_query_array(s.results, '$.results[*] ? (@.success == false)'))), 0
            ) as failed_expectations
        from landing.validations as s
        where s.load_id = l.load_id
    ) as v
where l.day between cast(:first as date) and cast(:last as date)
    or l.day is null
group by l.day, l.load_key, l.source
order by l.day desc nulls last, l.source;

-- name: quality_histories
-- One row per source whose history brought :day: a file's path names it, or it is the day that the source has done.
select distinct l.source, l.load_key
from landing.loads as l
where l.day is null
    and (cast(:source as text) is null or l.source = :source)
    and (
        jsonb_path_exists(
            l.files, '$[*] ? (@.day == $day)', jsonb_build_object('day', cast(cast(:day as date) as text))
        )
        or exists (
            select from shop.days as d
            where d.day = cast(:day as date) and d.stage = 'orders' and d.part = l.source and d.state = 'done'
        )
    )
order by l.source;

-- name: quality_loads
-- One row per landed feed of a day or a history.
select
    l.load_id,
    l.source,
    l.feed,
    l.load_key,
    l.files,
    l.landed,
    l.accepted,
    l.rejected,
    l.landed_at
from landing.loads as l
where l.load_key = :load_key
    and (cast(:source as text) is null or l.source = :source)
order by l.source, l.feed;

-- name: quality_suites
-- One row per suite that validated one of these loads, with the result as Great Expectations gave it.
select
    v.load_id,
    v.suite,
    v.success,
    v.results,
    v.validated_at
from landing.validations as v
where v.load_id = any(cast(:load_ids as bigint[]))
order by v.load_id, v.suite;

-- name: quality_rules
-- One row per load and rule that rejected rows: how many.
select
    r.load_id,
    r.rule,
    count(*) as rejected
from landing.rejections as r
where r.load_id = any(cast(:load_ids as bigint[]))
group by r.load_id, r.rule
order by r.load_id, count(*) desc, r.rule;

-- name: quality_rows
-- The first rejected rows of one load by one rule, in the order of the file.
select
    r.file,
    r.row_no,
    r.value,
    r.row_text,
    r.length
from landing.rejections as r
where r.load_id = :load_id
    and r.rule = :rule
order by r.file, r.row_no
limit :number;
