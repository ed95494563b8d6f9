-- One rejection per landed row and rule that it breaks; only rules known to be broken are looked at.
insert into landing.rejections (load_id, file, file_no, row_no, rule, value, row_text)
select
    {{ load_id }},
    files.name,
    v.file_no,
    v.row_no,
    broken.rule,
    left(broken.value, 200),
    jsonb_object(array[{{ names }}], array[{{ values }}])
from {{ view }} as v
cross join lateral (values {{ rules }}) as broken (rule, holds, value)
inner join (
    select cast(file ->> 'number' as integer) as file_no, file ->> 'name' as name
    from landing.loads as l
    cross join lateral jsonb_array_elements(l.files) as file
    where l.load_id = {{ load_id }}
) as files on files.file_no = v.file_no
where not ({{ all_hold }}) and not broken.holds
