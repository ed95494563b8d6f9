-- name: quarantine
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
where not ({{ all_hold }}) and not broken.holds;

-- name: count_rejected
-- How many rows of this load are rejected, by whatever rules.
select count(*)
from (select distinct file_no, row_no from landing.rejections where load_id = :load_id) as rejected;

-- name: rejected_by_rule
-- One row per rule that rows of this load break.
select rule, count(*) as "rows"
from landing.rejections
where load_id = :load_id
group by rule;

-- name: forget_rejections
-- Rejections of an earlier validation or publication go; those found while reading the files stay, and those of
-- people who were erased.
delete from landing.rejections
where load_id = :load_id and rule <> all(:kept);

-- name: forget_refused
-- What an earlier publication of this load refused is looked at again.
delete from landing.rejections
where load_id = :load_id and rule = any(:rules);

-- name: forget_corrections
-- What an earlier publication of this load corrected is looked at again.
delete from landing.corrections
where load_id = :load_id;

-- name: blank_rejections
-- Rejected rows of these sources that quote the customer keep their rule only.
update landing.rejections as r
set value = null, row_text = null
from landing.loads as l
where l.load_id = r.load_id
    and l.source = any(cast(:sources as text[]))
    and (
        r.value = any(cast(:words as text[]))
        or exists (
            select from jsonb_path_query(r.row_text, 'lax $.**') as v (word)
            where v.word #>> '{}' = any(cast(:words as text[]))
        )
        or exists (
            select from unnest(cast(:addresses as text[])) as u (address)
            where position(lower(u.address) in lower(concat_ws(' ', r.value, cast(r.row_text as text)))) > 0
        )
    );
