-- One row per halt in force.
select kind, name
from delivery.halts
order by kind, name
