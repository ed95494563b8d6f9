-- A key is looked at once.
alter table merge_several add primary key ({{ keys }})
