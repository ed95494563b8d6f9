-- Keys that the shop has not seen: inserted in the order of the primary key, which keeps its index and the disk quiet.
with added as (
    insert into {{ table }} ({{ keys }}, {{ content }}, updated_at, known_at)
    select {{ stage_keys }}, {{ stage_content }}, s.updated_at, s.known_at
    from {{ stage }} as s
    where not exists (select from merge_several as m where {{ several_join }})
    order by {{ stage_keys }}
    on conflict ({{ keys }}) do nothing
    returning customer_id
),

touched as (
    insert into stage_touched (customer_id, what)
    select customer_id, {{ what }} from added
    returning 1
)

select count(*) from touched
