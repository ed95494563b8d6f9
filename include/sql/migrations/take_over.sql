-- What the tool of earlier versions recorded.
insert into public.migrations (name, applied_at)
select y.migration_id, y.applied_at_utc at time zone 'UTC'
from public._yoyo_migration as y
on conflict (name) do nothing
