-- One row per file of each landed feed; a feed's rows know theirs by number.
insert into stage_files (file_no, name, day, starts_at, known_at, not_before, landed_at, newest_at)
select
    f.file_no,
    f.name,
    f.day,
    f.starts_at,
    f.known_at,
    f.not_before,
    f.landed_at,
    f.newest_at
from jsonb_to_recordset(cast(:files as jsonb)) as f (
    file_no integer, name text, day date, starts_at timestamptz, known_at timestamptz, not_before timestamptz,
    landed_at timestamptz, newest_at timestamptz
)
