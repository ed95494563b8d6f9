-- One rejection per landed row that is gone, quoting nothing of it: so what was landed is still accepted or rejected.
insert into landing.rejections (load_id, file, file_no, row_no, rule)
select
    l.load_id,
    f.file ->> 'name',
    g.file_no,
    g.row_no,
    'erased'
from gone as g
inner join landing.loads as l on l.source = :source and l.feed = :feed and l.load_key = g.load_key
cross join lateral jsonb_array_elements(l.files) as f (file)
where cast(f.file ->> 'number' as integer) = g.file_no
on conflict do nothing
returning load_id
