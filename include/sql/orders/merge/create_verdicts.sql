-- One row per key looked at: whether the shop has to change.
create temporary table merge_verdicts as
select
    {{ keys }},
    case
        when not bool_or(was) then 'inserted'
        when bool_and(was and is_now) then 'unchanged'
        else 'updated'
    end as verdict
from (
    select {{ keys }}, content_text, superseded_at, bool_or(was) as was, bool_or(is_now) as is_now
    from (
        select {{ keys }}, content_text, superseded_at, true as was, false as is_now from merge_versions where from_load = 0
        union all
        select {{ keys }}, content_text, superseded_at, false, true from merge_chain
    ) as both_sides
    group by {{ keys }}, content_text, superseded_at
) as versions
group by {{ keys }}
