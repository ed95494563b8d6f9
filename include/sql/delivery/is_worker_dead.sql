-- True if nobody holds the claim's lock: its worker is gone. This transaction then holds it until it ends.
select pg_try_advisory_xact_lock(:key) as is_dead
