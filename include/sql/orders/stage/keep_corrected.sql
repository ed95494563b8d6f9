-- Rows that are kept with another instant than their own, for an operator to read; how many.
with kept as (
    insert into landing.corrections (load_id, file, file_no, row_no, rule, value, taken_at)
    select :load_id, f.file ->> 'name', s.file_no, s.row_no, s.rule, s.told, s.taken_at
    from {{ table }} as s
    inner join (
        select file from landing.loads cross join lateral jsonb_array_elements(files) as file where load_id = :load_id
    ) as f on cast(f.file ->> 'number' as integer) = s.file_no
    where s.taken_at is not null
    returning 1
)

select count(*) from kept
