-- A day that is computed again: reopens the intervals that ended on it of everybody who did not leave after all; how many
-- they are.
with reopened as (
    update selections.membership as m
    set left_on = null
    where m.selection = :selection
        and m.left_on = :day
        and exists (
            select from {{ work }} as w where w.customer_id = m.customer_id
        )
    returning m.customer_id
)
select count(*) from reopened
