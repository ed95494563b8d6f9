-- The refused rows join the other rejections of the load, their fields shortened; counted by row.
insert into landing.rejections (load_id, file, file_no, row_no, rule, value, row_text)
select {{ load_id }}, f.file ->> 'name', r.file_no, r.row_no, r.rule, left(r.value, 200), jsonb_object(array[{{ names }}], array[{{ values }}])
from stage_refused as r
inner join {{ part }} as l on l.file_no = r.file_no and l.row_no = r.row_no
inner join (
    select file from landing.loads cross join lateral jsonb_array_elements(files) as file where load_id = {{ load_id }}
) as f on cast(f.file ->> 'number' as integer) = r.file_no
where r.feed = {{ feed }}
on conflict do nothing
