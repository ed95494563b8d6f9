-- How many members of one audience the export :number takes out: in a file, and no longer to be in. Halts do not matter.
with written as (
    update delivery.audience_members as m
    set removed_in = :number
    where m.campaign = :campaign
        and m.step = :step
        and m.added_in is not null
        and m.left_at is not null
        and m.removed_in is null
    returning m.customer_id
)

select count(*) from written
