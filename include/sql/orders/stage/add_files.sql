-- One row per file of each landed feed; a feed's rows know theirs by number.
insert into stage_files (file_no, name, day, starts_at, known_at)
select cast(f.file_no as integer), f.name, cast(f.day as date), cast(f.starts_at as timestamptz), cast(f.known_at as timestamptz)
from jsonb_to_recordset(cast(:files as jsonb)) as f (file_no integer, name text, day text, starts_at text, known_at text)
