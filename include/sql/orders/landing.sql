-- name: landing_columns
-- One row per column of a landing table that came from the files; none if there is no such table.
select a.attname
from pg_attribute as a
where a.attrelid = to_regclass(:table) and a.attnum > 3 and not a.attisdropped
order by a.attnum;

-- name: create_parent
-- All loads of a feed: one row per landed row, numbered within its file.
create table if not exists {{ parent }} (
    load_key text not null,
    file_no integer not null,
    row_no bigint not null{{ columns }}
) partition by list (load_key);

-- name: create_landing
-- The fresh table of one load; every column of the files is text.
create table {{ table }} (
    load_key text not null default {{ load_key }} check (load_key = {{ load_key }}),
    file_no integer not null,
    row_no bigint not null{{ columns }}
);

-- name: add_column
-- One more text column in a landing table.
alter table {{ table }} add column {{ column }} text;

-- name: create_sequence
-- Numbers the rows of a file while COPY writes them; cached, for it is used by one session in one transaction.
create sequence {{ sequence }} cache 10000;

-- name: number_rows
-- A row that brings no number gets the next one.
alter table {{ table }} alter column row_no set default nextval({{ sequence_name }});

-- name: begin_file
-- Rows from here on belong to the next file and are numbered from 1.
alter table {{ table }} alter column file_no set default {{ file_no }};

-- name: stop_numbering
-- The sequence goes, and the column's default with it.
drop sequence {{ sequence }} cascade;

-- name: analyze_landing
-- Tell the planner what the table holds now.
analyze {{ table }};

-- name: attach_partition
-- The fresh table becomes the load's partition; its check on load_key saves the scan.
alter table {{ parent }} attach partition {{ part }} for values in ({{ load_key }});

-- name: rename_table
-- The fresh table takes the load's name.
alter table {{ table }} rename to {{ name }};

-- name: drop_table
-- The load's earlier landing goes.
drop table if exists {{ table }} cascade;
