-- One verdict per key.
alter table merge_verdicts add primary key ({{ keys }})
