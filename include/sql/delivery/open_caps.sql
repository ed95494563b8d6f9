-- One row per cap that comes into force at :now.
insert into delivery.caps (channel, at_most, hours, in_force_from)
select u.channel, u.at_most, u.hours, :now
from unnest(cast(:channels as text[]), cast(:at_mosts as integer[]), cast(:hours as integer[]))
as u (channel, at_most, hours)
on conflict (channel, at_most, hours) where in_force_until is null do nothing
returning channel
