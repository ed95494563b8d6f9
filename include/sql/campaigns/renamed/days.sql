-- One row per day, or part of one, that was done under the old name: it is done under the new one.
update shop.days as d
set part = :new || substring(d.part from length(:old) + 1)
where d.stage = 'campaigns' and split_part(d.part, ':', 1) = :old
returning d.part
