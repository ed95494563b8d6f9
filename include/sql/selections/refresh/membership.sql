-- name: clear_work
-- Empties a work table. After a delete the pages would stay, and once they are analyzed as empty the planner expects one
-- row where a hundred thousand come: the comparison may then become a loop over both sides.
truncate {{ work }};

-- name: enter
-- Puts those who entered into the selection's table; who was in it stays untouched.
insert into {{ table }} (customer_id)
select w.customer_id
from {{ work }} as w
on conflict (customer_id) do nothing;

-- name: leave
-- Takes those who left out of the selection's table.
delete from {{ table }} as t
where not exists (select from {{ work }} as w where w.customer_id = t.customer_id);

-- name: open_membership
-- Begins an interval for everybody who entered; how many they are.
with opened as (
    insert into selections.membership (selection, customer_id, entered_on)
    select :selection, w.customer_id, :day
    from {{ work }} as w
    on conflict (selection, customer_id) where left_on is null do nothing
    returning customer_id
)
select count(*) from opened;

-- name: close_membership
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
select count(*) from closed;

-- name: members
-- One row per member of a selection on a day that it has done, sorted by the shop's own reference.
select c.customer_ref
from selections.membership as m
inner join shop.customers as c on c.customer_id = m.customer_id
where m.selection = :selection and m.entered_on <= :day and (m.left_on is null or m.left_on > :day)
order by c.customer_ref, c.namespace;

-- name: computed_members
-- One row per member that was computed for a world, sorted by the shop's own reference.
select c.customer_ref
from {{ computed }} as w
inner join shop.customers as c on c.customer_id = w.customer_id
order by c.customer_ref, c.namespace;

-- name: reopen_membership
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
select count(*) from reopened;

-- name: undo_membership
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
select count(*) from undone;
