-- name: create_check
-- One row per landed row: its columns, one boolean per rule, whether all hold. Offset 0 makes each rule be computed
-- once. What is dated after the end of the next day makes no file recent. Rows that could not be landed stand below
-- with the rest, breaking row_is_readable only.
create view {{ view }} as
select
    v.*,
    {{ accepted }} as "r:accepted"
from (
    select
        file_no,
        row_no{{ columns }}{{ rules }},
        true as "r:row_is_readable",
        nullif(least(cast({{ newest }} as timestamptz), {{ latest }}), {{ latest }}) as "r:newest"
    from {{ part }}
    offset 0
) as v
union all
select
    unreadable.file_no,
    unreadable.row_no{{ no_columns }}{{ all_true }},
    false as "r:row_is_readable",
    cast(null as timestamptz) as "r:newest",
    false as "r:accepted"
from landing.rejections as unreadable
where unreadable.load_id = {{ load_id }} and unreadable.rule in ({{ reading_rules }});

-- name: drop_check
-- The view over one load goes when its check is over.
drop view if exists {{ view }};

-- name: store_validation
-- One row per load and suite: what Great Expectations answered. A second validation replaces the first.
insert into landing.validations (load_id, suite, success, results)
values (:load_id, :suite, :success, cast(:results as jsonb))
on conflict (load_id, suite) do update
    set success = excluded.success, results = excluded.results, validated_at = excluded.validated_at;

-- name: is_validated
-- Whether the load's suite was met.
select coalesce(bool_and(success), false) from landing.validations where load_id = :load_id;
