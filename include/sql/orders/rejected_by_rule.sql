-- One row per rule that rows of this load break.
select rule, count(*) as "rows"
from landing.rejections
where load_id = :load_id
group by rule
