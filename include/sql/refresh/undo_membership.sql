-- A day that is computed again: takes back the intervals that began on it of everybody who did not enter after all; how
-- many they are.
with undone as (
    delete from selections.membership as m
    where m.selection = :selection
        and m.entered_on = :day
        and m.left_on is null
        and not exists (
            select from {{ work }} as w where w.customer_id = m.customer_id
        )
    returning m.customer_id
)
select count(*) from undone
