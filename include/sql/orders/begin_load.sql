-- One row per landed feed of a day or a history; returns its number. Later landings have higher numbers.
insert into landing.loads (source, feed, load_key, day, files, landed)
values (:source, :feed, :load_key, :day, '[]', 0)
returning load_id
