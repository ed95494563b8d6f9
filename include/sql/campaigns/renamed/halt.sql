-- One row if the old name was halted and the new one was not: now it is.
insert into delivery.halts as h (kind, name, halted_at)
select o.kind, :new, o.halted_at
from delivery.halts as o
where o.kind = 'campaign' and o.name = :old
on conflict (kind, name) do nothing
returning h.name
