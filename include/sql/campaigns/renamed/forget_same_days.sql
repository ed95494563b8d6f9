-- One row per day of the old name, or a part of it, that the new name has as well.
delete from shop.days as d
where d.stage = 'campaigns'
    and split_part(d.part, ':', 1) = :old
    and exists (
        select from shop.days as n
        where n.stage = d.stage and n.day = d.day and n.part = :new || substring(d.part from length(:old) + 1)
    )
returning d.part
