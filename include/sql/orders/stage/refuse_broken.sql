-- Rows that break a rule by themselves, but for those that are kept all the same; how many.
with refused as (
    insert into stage_refused (feed, file_no, row_no, rule, value)
    select :feed, file_no, row_no, rule, told
    from {{ table }}
    where rule is not null and taken_at is null
    returning 1
)

select count(*) from refused
