-- The first row of a file is number 1.
alter sequence {{ sequence }} restart
