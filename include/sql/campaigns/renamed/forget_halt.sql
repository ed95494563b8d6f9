-- One row if the old name was halted: nothing has this name any more.
delete from delivery.halts as h
where h.kind = 'campaign' and h.name = :old
returning h.name
