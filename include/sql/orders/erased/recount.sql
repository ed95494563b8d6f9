-- Of published loads with rows set aside since: what is accepted and what is rejected, which still make up what landed.
update landing.loads as l
set rejected = r.rejected, accepted = l.landed - r.rejected
from (
    select load_id, count(*) as rejected
    from (
        select distinct load_id, file_no, row_no
        from landing.rejections
        where load_id = any(cast(:load_ids as bigint[]))
    ) as x
    group by load_id
) as r
where l.load_id = r.load_id and l.accepted is not null
