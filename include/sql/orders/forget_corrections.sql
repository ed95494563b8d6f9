-- What an earlier publication of this load corrected is looked at again.
delete from landing.corrections
where load_id = :load_id
