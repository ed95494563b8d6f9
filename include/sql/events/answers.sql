-- One row: the database answers, and has what this service writes to.
select count(*) as tables
from information_schema.tables
where table_schema = 'events' and table_name = 'received'
