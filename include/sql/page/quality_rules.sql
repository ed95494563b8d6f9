-- One row per load and rule that rejected rows: how many.
select
    r.load_id,
    r.rule,
    count(*) as rejected
from landing.rejections as r
where r.load_id = any(cast(:load_ids as bigint[]))
group by r.load_id, r.rule
order by r.load_id, count(*) desc, r.rule
