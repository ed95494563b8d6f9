-- name: drop_candidates
-- Room for the next feed.
drop table if exists merge_candidates, merge_versions, merge_chain, merge_changes;

-- name: create_candidates
-- Keys that need a look at all their versions: several in the load, or one that differs from what the shop has.
create temporary table merge_candidates as
select {{ keys }} from {{ table }}
with no data;

-- name: key_candidates
-- A key is looked at once.
alter table merge_candidates add primary key ({{ keys }});

-- name: find_repeated_keys
-- Keys of which the load holds several versions.
insert into merge_candidates ({{ keys }})
select {{ keys }} from {{ stage }}
group by {{ keys }}
having count(*) > 1;

-- name: find_changed_keys
-- Keys whose version in the load differs from the shop's, or is newer.
insert into merge_candidates ({{ keys }})
select distinct {{ stage_keys }}
from {{ stage }} as s
inner join {{ table }} as t on {{ join }}
where s.updated_at > t.updated_at or ({{ stage_content }}) is distinct from ({{ table_content }})
on conflict do nothing;

-- name: count_same
-- How many keys of the load are in the shop already, the very same.
select count(*)
from {{ stage }} as s
inner join {{ table }} as t on {{ join }}
where not exists (select from merge_candidates as m where {{ candidates_join }});

-- name: insert_new_keys
-- Keys that the shop has not seen: inserted in the order of the primary key, which keeps its index and the disk quiet.
with added as (
    insert into {{ table }} ({{ keys }}, {{ content }}, updated_at, known_at)
    select {{ stage_keys }}, {{ stage_content }}, s.updated_at, s.known_at
    from {{ stage }} as s
    where not exists (select from merge_candidates as m where {{ candidates_join }})
    order by {{ stage_keys }}
    on conflict ({{ keys }}) do nothing
    returning {{ customer }} as customer_id
),

touched as (
    insert into stage_touched (customer_id, what)
    select customer_id, {{ what }} from added
    returning 1
)

select count(*) from touched;

-- name: create_versions
-- All versions of the keys looked at: the present one, the superseded ones, those of the load.
create temporary table merge_versions as
select
    {{ keys }}, {{ content }}, updated_at, known_at, known_at as own_known_at, 0 as from_load, 0 as file_no,
    cast(0 as bigint) as row_no,
    cast(row({{ content }}) as text) as content_text, superseded_at
from (
    select {{ table_keys }}, {{ table_content }}, t.updated_at, t.known_at, t.superseded_at
    from (
        select {{ keys }}, {{ content }}, updated_at, known_at, cast('infinity' as timestamptz) as superseded_at
        from {{ table }}
        union all
        select {{ keys }}, {{ content }}, updated_at, known_at, superseded_at from {{ table }}_history
    ) as t
    inner join merge_candidates as s on {{ join }}
) as v;

-- name: add_versions
-- The versions of the load; of equal precedence the load's come after those of the shop.
insert into merge_versions (
    {{ keys }}, {{ content }}, updated_at, known_at, own_known_at, from_load, file_no, row_no, content_text,
    superseded_at
)
select
    {{ stage_keys }}, {{ stage_content }}, s.updated_at, s.known_at, s.own_known_at, 1, s.file_no, s.row_no,
    cast(row({{ stage_content }}) as text), null
from {{ stage }} as s
inner join merge_candidates as m on {{ candidates_join }};

-- name: create_chain
-- The versions as they should stand: each known from known_at until the next one. A version that one of higher
-- precedence overtook before it was known is dropped, and so is one that only repeats the version before it.
create temporary table merge_chain as
with ranked as (
    select
        *,
        min(known_at) over (
            partition by {{ keys }} order by {{ precedence }}
            rows between unbounded preceding and 1 preceding
        ) as overtaken_at
    from merge_versions
),

visible as (
    select
        *,
        (lag(content_text) over (partition by {{ keys }} order by known_at) is distinct from content_text) as is_new
    from ranked
    where overtaken_at is null or overtaken_at > known_at
),

runs as (
    select *, count(*) filter (where is_new) over (partition by {{ keys }} order by known_at) as run
    from visible
),

kept as (
    select *, max(updated_at) over (partition by {{ keys }}, run) as newest_at
    from runs
)

select
    {{ keys }},
    {{ content }},
    newest_at as updated_at,
    known_at,
    content_text,
    lead(known_at, 1, 'infinity') over (partition by {{ keys }} order by known_at) as superseded_at
from kept
where is_new;

-- name: create_changes
-- One row per key looked at: whether the shop has to change.
create temporary table merge_changes as
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
        select {{ keys }}, content_text, superseded_at, true as was, false as is_now
        from merge_versions
        where from_load = 0
        union all
        select {{ keys }}, content_text, superseded_at, false, true from merge_chain
    ) as both_sides
    group by {{ keys }}, content_text, superseded_at
) as versions
group by {{ keys }};

-- name: key_changes
-- One verdict per key.
alter table merge_changes add primary key ({{ keys }});

-- name: forget_history
-- The superseded versions of changed keys are written anew.
delete from {{ table }}_history as t
using merge_changes as s
where s.verdict = 'updated' and {{ join }};

-- name: write_history
-- The superseded versions of changed keys.
insert into {{ table }}_history ({{ keys }}, {{ content }}, updated_at, known_at, superseded_at)
select {{ stage_keys }}, {{ stage_content }}, s.updated_at, s.known_at, s.superseded_at
from merge_chain as s
inner join merge_changes as m on {{ candidates_join }}
where s.superseded_at < 'infinity' and m.verdict in ('inserted', 'updated');

-- name: write_present
-- The present version of changed keys, and their customers among the touched.
with written as (
    insert into {{ table }} ({{ keys }}, {{ content }}, updated_at, known_at)
    select {{ stage_keys }}, {{ stage_content }}, s.updated_at, s.known_at
    from merge_chain as s
    inner join merge_changes as m on {{ candidates_join }}
    where s.superseded_at = 'infinity' and m.verdict in ('inserted', 'updated')
    on conflict ({{ keys }}) do update
        set {{ assignments }}, updated_at = excluded.updated_at, known_at = excluded.known_at
    returning {{ customer }} as customer_id
)
insert into stage_touched (customer_id, what)
select customer_id, {{ what }} from written;

-- name: renew_unchanged
-- The same content under a later date: only the date moves, so that an older version cannot come back over it.
update {{ table }} as t
set updated_at = s.updated_at
from merge_chain as s
inner join merge_changes as m on {{ candidates_join }}
where {{ join }} and m.verdict = 'unchanged' and s.superseded_at = 'infinity' and s.updated_at > t.updated_at;

-- name: count_changes
-- One row per verdict: how many keys.
select verdict, count(*) as "keys" from merge_changes group by verdict;
