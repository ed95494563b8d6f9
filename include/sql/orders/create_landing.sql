-- The fresh table of one load; every column of the files is text.
create table {{ table }} (
    load_key text not null default {{ load_key }} check (load_key = {{ load_key }}),
    file_no integer not null,
    row_no bigint not null{{ columns }}
)
