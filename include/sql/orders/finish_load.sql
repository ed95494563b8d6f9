-- What was landed: the files, and how many rows stood in them.
update landing.loads
set files = cast(:files as jsonb), landed = :landed
where load_id = :load_id
