-- One row per verdict: how many keys.
select verdict, count(*) as "keys" from merge_verdicts group by verdict
