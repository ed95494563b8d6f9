-- Of a rehearsal, which is undone: the selection never held anybody.
delete from selections.membership as m
where m.selection = :selection
