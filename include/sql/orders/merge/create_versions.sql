-- All versions of the keys looked at: the present one, the superseded ones, those of the load.
create temporary table merge_versions as
select {{ keys }}, {{ content }}, updated_at, known_at, 0 as from_load, 0 as file_no, cast(0 as bigint) as row_no,
    cast(row({{ content }}) as text) as content_text, superseded_at
from (
    select {{ table_keys }}, {{ table_content }}, t.updated_at, t.known_at, t.superseded_at
    from (
        select {{ keys }}, {{ content }}, updated_at, known_at, cast('infinity' as timestamptz) as superseded_at from {{ table }}
        union all
        select {{ keys }}, {{ content }}, updated_at, known_at, superseded_at from {{ table }}_history
    ) as t
    inner join merge_several as s on {{ join }}
) as v
