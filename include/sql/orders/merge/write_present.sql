-- The present version of changed keys, and their customers among the touched.
with written as (
    insert into {{ table }} ({{ keys }}, {{ content }}, updated_at, known_at)
    select {{ stage_keys }}, {{ stage_content }}, s.updated_at, s.known_at
    from merge_chain as s
    inner join merge_verdicts as m on {{ several_join }}
    where s.superseded_at = 'infinity' and m.verdict in ('inserted', 'updated')
    on conflict ({{ keys }}) do update set {{ assignments }}, updated_at = excluded.updated_at, known_at = excluded.known_at
    returning customer_id
)
insert into stage_touched (customer_id, what)
select customer_id, {{ what }} from written
