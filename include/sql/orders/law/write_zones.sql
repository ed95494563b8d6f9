-- One row per country and zone in it.
insert into shop.country_zones (country, zone)
select u.country, u.zone
from unnest(cast(:countries as text[]), cast(:zones as text[])) as u (country, zone)
on conflict (country, zone) do nothing
