-- name: loads
-- One row per landed feed of a load.
select load_id, feed, files, landed, accepted, rejected
from landing.loads
where source = :source and load_key = :load_key;

-- name: begin_load
-- One row per landed feed of a day or a history; returns its number. Later landings have higher numbers.
insert into landing.loads (source, feed, load_key, day, files, landed)
values (:source, :feed, :load_key, :day, '[]', 0)
returning load_id;

-- name: finish_load
-- What was landed: the files, and how many rows stood in them.
update landing.loads
set files = cast(:files as jsonb), landed = :landed
where load_id = :load_id;

-- name: finish_publish
-- What became of the landed rows.
update landing.loads
set accepted = :accepted, rejected = :rejected
where load_id = :load_id;

-- name: forget_load
-- The load's earlier landing, with its rejections and validations, makes room for the new one.
delete from landing.loads
where source = :source and feed = :feed and load_key = :load_key;

-- name: same_weekdays
-- One row per earlier published load of this feed on the same weekday, at most eight: how many rows it had.
select landed
from landing.loads
where source = :source and feed = :feed and day < :day and accepted is not null
    and extract(isodow from day) = extract(isodow from cast(:day as date))
order by day desc
limit 8;
