{% from "delivery/macros.sql" import exports %}

-- name: newest_export
-- When the newest export of :channel was fixed; null where there is none.
select max(x.exported_at) as exported_at
from delivery.exports as x
where x.channel = :channel;

-- name: record_export
-- One row: an export, as of :at. Its files are not written yet.
insert into delivery.exports (campaign, step, number, channel, day, exported_at, added, removed)
values (:campaign, :step, :number, :channel, :day, :at, :added, :removed);

-- name: exports_to_write
-- One row per export of :channel whose files may not be there, oldest first: those never complete, and those of :day.
{{ exports() }}
where x.channel = :channel and (x.written_at is null or (x.day = :day and x.deleted_at is null))
order by x.exported_at, x.campaign, x.step, x.number;

-- name: export_written
-- One row: the files of this export are complete.
update delivery.exports
set written_at = coalesce(written_at, :at)
where campaign = :campaign and step = :step and number = :number;

-- name: old_exports
-- One row per export of :channel, complete, whose folder is still there although it is older than :before.
{{ exports() }}
where x.channel = :channel and x.written_at is not null and x.deleted_at is null and x.day < :before
order by x.exported_at, x.campaign, x.step, x.number;

-- name: export_deleted
-- One row: the folder of this export is gone.
update delivery.exports
set deleted_at = :at
where campaign = :campaign and step = :step and number = :number;
