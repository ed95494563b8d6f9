-- No row: only the names of the columns that a mapping gives.
select * from (
    {{ mapping }}
) as m
limit 0
