-- How many keys of the load are in the shop already, the very same.
select count(*)
from {{ stage }} as s
inner join {{ table }} as t on {{ join }}
where not exists (select from merge_several as m where {{ several_join }})
