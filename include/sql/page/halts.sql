-- One row per halt in force.
select
    h.kind,
    h.name,
    h.halted_at
from delivery.halts as h
order by h.kind, h.name
