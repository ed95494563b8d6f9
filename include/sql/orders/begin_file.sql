-- Rows from here on belong to the next file and are numbered from 1.
alter table {{ table }} alter column file_no set default {{ file_no }}
