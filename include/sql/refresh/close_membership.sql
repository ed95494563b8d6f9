-- Ends the interval of everybody who left; how many they are.
with closed as (
    update selections.membership as m
    set left_on = :day
    where m.selection = :selection
        and m.left_on is null
        and not exists (
            select from {{ work }} as w where w.customer_id = m.customer_id
        )
    returning m.customer_id
)
select count(*) from closed
