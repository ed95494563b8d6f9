-- Keys whose version in the load differs from the shop's, or is newer.
insert into merge_several
select distinct {{ stage_keys }}
from {{ stage }} as s
inner join {{ table }} as t on {{ join }}
where s.updated_at > t.updated_at or ({{ stage_content }}) is distinct from ({{ table_content }})
on conflict do nothing
