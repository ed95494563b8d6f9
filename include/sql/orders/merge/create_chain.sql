-- The versions as they should stand: each known from known_at until the next one. A version that one of higher precedence
-- overtook before it was known is dropped, and so is one that only repeats the version before it.
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
where is_new
