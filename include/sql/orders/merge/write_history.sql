-- The superseded versions of changed keys.
insert into {{ table }}_history ({{ keys }}, {{ content }}, updated_at, known_at, superseded_at)
select {{ stage_keys }}, {{ stage_content }}, s.updated_at, s.known_at, s.superseded_at
from merge_chain as s
inner join merge_verdicts as m on {{ several_join }}
where s.superseded_at < 'infinity' and m.verdict in ('inserted', 'updated')
