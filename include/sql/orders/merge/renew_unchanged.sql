-- The same content under a later date: only the date moves, so that an older version cannot come back over it.
update {{ table }} as t
set updated_at = s.updated_at
from merge_chain as s
inner join merge_verdicts as m on {{ several_join }}
where {{ join }} and m.verdict = 'unchanged' and s.superseded_at = 'infinity' and s.updated_at > t.updated_at
