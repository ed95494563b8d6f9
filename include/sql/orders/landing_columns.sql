-- One row per column of a landing table that came from the files; none if there is no such table.
select a.attname
from pg_attribute as a
where a.attrelid = to_regclass(:table) and a.attnum > 3 and not a.attisdropped
order by a.attnum
