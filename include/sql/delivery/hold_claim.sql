-- A worker's sign of life: this lock lasts until it lets go or its session ends, whichever way it dies.
select pg_advisory_lock(:key) as held
