-- One row: the folder of this export is gone.
update delivery.exports
set deleted_at = :at
where campaign = :campaign and step = :step and number = :number
