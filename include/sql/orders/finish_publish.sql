-- What became of the landed rows.
update landing.loads
set accepted = :accepted, rejected = :rejected
where load_id = :load_id
