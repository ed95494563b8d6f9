-- One row per line of rules.csv.
insert into shop.rules (country, channel, basis, earliest, latest, valid_from, source)
select f.country, f.channel, f.basis, f.earliest, f.latest, f.valid_from, f.source
from jsonb_to_recordset(cast(:rules as jsonb)) as f (
    country text, channel text, basis text, earliest time, latest time, valid_from date, source text
)
on conflict (country, channel, valid_from) do nothing
