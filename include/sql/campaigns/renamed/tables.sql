-- One row per table that names the campaign of each row, and whether the row belongs to one entry of a customer; who was
-- enrolled comes last, since the others are numbered by it. What needs more than another name has statements of its own.
select
    c.table_schema || '.' || c.table_name as name,
    bool_or(c.column_name = 'entry_no') as has_entries
from information_schema.columns as c
inner join information_schema.tables as t on t.table_schema = c.table_schema and t.table_name = c.table_name
where t.table_type = 'BASE TABLE'
    and c.table_schema in ('campaigns', 'delivery', 'events', 'results')
    and c.table_name not in ('paused', 'versions', 'first_names')
group by c.table_schema, c.table_name
having bool_or(c.column_name = 'campaign')
order by c.table_schema || '.' || c.table_name = 'campaigns.enrolments', name
