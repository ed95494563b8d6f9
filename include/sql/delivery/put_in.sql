-- How many members of one audience the export :number puts in: kept before :now, unless it is halted. Who is still in
-- from an earlier entry, or is taken out by this very export, is put in by a later one: no file contradicts another.
with written as (
    update delivery.audience_members as m
    set added_in = :number
    where m.campaign = :campaign
        and m.step = :step
        and m.kept_at < :now
        and m.added_in is null
        and m.left_at is null
        and not {% with channel = "'audience'" %}{% include "delivery/_is_halted.sql" %}{% endwith %}
        and not exists (
            select from delivery.audience_members as o
            where o.customer_id = m.customer_id
                and o.campaign = m.campaign
                and o.step = m.step
                and (
                    (o.added_in is not null and (o.removed_in is null or o.removed_in = :number))
                    or (o.added_in is null and o.left_at is null and o.entry_no < m.entry_no)
                )
        )
    returning m.customer_id
)

select count(*) from written
