-- The versions of the load; of equal precedence the load's come after those of the shop.
insert into merge_versions
select {{ stage_keys }}, {{ stage_content }}, s.updated_at, s.known_at, 1, s.file_no, s.row_no,
    cast(row({{ stage_content }}) as text), null
from {{ stage }} as s
inner join merge_several as m on {{ several_join }}
