-- The view over one load goes when its check is over.
drop view if exists {{ view }}
