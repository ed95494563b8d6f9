-- One row per rule: how many rows of a feed it refused.
select rule, count(*) as "rows" from stage_refused where feed = :feed group by rule
