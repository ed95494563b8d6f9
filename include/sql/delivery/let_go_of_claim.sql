-- The worker is done with its claim: everything in it is settled.
select pg_advisory_unlock(:key) as released
