-- One row per file of the load at hand.
create temporary table stage_files (
    file_no integer primary key,
    name text not null,
    day date, -- null: the path names no day
    starts_at timestamptz, -- of the day
    known_at timestamptz, -- null: the midnight after the fact's own date
    not_before timestamptz, -- the end of the newest published day: no fact of the file was known earlier
    landed_at timestamptz not null, -- no fact of the file happened later than this
    newest_at timestamptz not null -- the last instant that is believed all the same: clocks run fast
)
