-- The sequence goes, and the column's default with it.
drop sequence {{ sequence }} cascade
