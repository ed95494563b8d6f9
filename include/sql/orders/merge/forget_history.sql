-- The superseded versions of changed keys are written anew.
delete from {{ table }}_history as t
using merge_verdicts as s
where s.verdict = 'updated' and {{ join }}
