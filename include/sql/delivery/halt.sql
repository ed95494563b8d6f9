-- One row per halt, however often it is asked for.
insert into delivery.halts (kind, name)
values (:kind, :name)
on conflict (kind, name) do nothing
