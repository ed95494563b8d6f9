-- name: rules
-- One row per rule, in the order of rules.csv as it is read.
select country, channel, basis, earliest, latest, valid_from, source
from shop.rules
order by country collate "C", channel collate "C", valid_from;

-- name: forget_rules
-- All rules go, in the transaction that writes those of the file.
delete from shop.rules;

-- name: write_rules
-- One row per line of rules.csv.
insert into shop.rules (country, channel, basis, earliest, latest, valid_from, source)
select f.country, f.channel, f.basis, f.earliest, f.latest, f.valid_from, f.source
from
    jsonb_to_recordset(cast(:rules as jsonb)) as f (
        country text, channel text, basis text, earliest time, latest time, valid_from date, source text
    )
on conflict (country, channel, valid_from) do nothing;

-- name: zones
-- One row: the countries and their zones, in order; null where there are none yet.
select
    array_agg(country order by country collate "C", zone collate "C") as countries,
    array_agg(zone order by country collate "C", zone collate "C") as zones
from shop.country_zones;

-- name: forget_zones
-- All go, in the transaction that writes those of the time zone database.
delete from shop.country_zones;

-- name: write_zones
-- One row per country and zone in it.
insert into shop.country_zones (country, zone)
select u.country, u.zone
from unnest(cast(:countries as text[]), cast(:zones as text[])) as u (country, zone)
on conflict (country, zone) do nothing;

-- name: known_zones
-- One row per time zone PostgreSQL knows. A shop may send us any word as a zone, and an unknown one would be an error.
select name
from pg_timezone_names;
