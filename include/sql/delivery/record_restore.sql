-- A restore is recorded once per backup: asked for again, the instants of the first time stay.
insert into delivery.restores (claim, backup_at, restored_at)
values (cast(:claim as uuid), :backup_at, :now)
on conflict (backup_at) do nothing
