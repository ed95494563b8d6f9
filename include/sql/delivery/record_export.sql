-- One row: an export, as of :at. Its files are not written yet.
insert into delivery.exports (campaign, step, number, channel, day, exported_at, added, removed)
values (:campaign, :step, :number, :channel, :day, :at, :added, :removed)
