-- Rejections of an earlier validation or publication go; those found while reading the files stay.
delete from landing.rejections
where load_id = :load_id and rule <> all(:reading_rules)
