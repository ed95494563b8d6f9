-- One row per cap in force.
select channel, at_most, hours
from delivery.caps
where in_force_until is null
order by channel, at_most, hours
