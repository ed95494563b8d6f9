-- Whether the load's suite was met.
select coalesce(bool_and(success), false) from landing.validations where load_id = :load_id
