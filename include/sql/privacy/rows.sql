-- name: tables
-- One row per table with rows of customers, whoever made it, and its columns. What was landed has them as text.
select
    t.table_schema || '.' || t.table_name as name,
    array_agg(cast(a.column_name as text) order by a.ordinal_position) as columns
from information_schema.tables as t
inner join information_schema.columns as a on a.table_schema = t.table_schema and a.table_name = t.table_name
where t.table_type = 'BASE TABLE'
    and t.table_schema in ('shop', 'selections', 'offers', 'campaigns', 'delivery', 'events', 'results')
    and exists (
        select from information_schema.columns as k
        where k.table_schema = t.table_schema
            and k.table_name = t.table_name
            and k.column_name = 'customer_id'
            and k.data_type = 'bigint'
    )
group by t.table_schema, t.table_name
order by name;

-- name: keep
-- The customer's rows once more, as those of nobody in particular.
insert into {{ table }} ({{ listed }})
select {{ kept }}
from {{ table }} as t
where t.customer_id = :customer_id;

-- name: remove
-- One row per row of the customer in one table: gone.
delete from {{ table }} as t
where t.customer_id = :customer_id
returning 1 as removed;
