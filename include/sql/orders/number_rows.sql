-- A row that brings no number gets the next one.
alter table {{ table }} alter column row_no set default nextval({{ sequence_name }})
