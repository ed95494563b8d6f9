-- Rejections of an earlier validation or publication go; those found while reading the files stay, and those of
-- people who were erased.
delete from landing.rejections
where load_id = :load_id and rule <> all(:kept)
