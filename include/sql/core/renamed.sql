-- name: forget_same_days
-- One row per day of the old name, or a part of it, that the new name has as well.
delete from shop.days as d
where d.stage = 'campaigns'
    and split_part(d.part, ':', 1) = :old
    and exists (
        select from shop.days as n
        where n.stage = d.stage and n.day = d.day and n.part = :new || substring(d.part from length(:old) + 1)
    )
returning d.part;

-- name: rename_days
-- One row per day, or part of one, that was done under the old name: it is done under the new one.
update shop.days as d
set part = :new || substring(d.part from length(:old) + 1)
where d.stage = 'campaigns' and split_part(d.part, ':', 1) = :old
returning d.part;
