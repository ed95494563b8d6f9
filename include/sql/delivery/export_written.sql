-- One row: the files of this export are complete.
update delivery.exports
set written_at = coalesce(written_at, :at)
where campaign = :campaign and step = :step and number = :number
