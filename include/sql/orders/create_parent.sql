-- All loads of a feed: one row per landed row, numbered within its file.
create table if not exists {{ parent }} (
    load_key text not null,
    file_no integer not null,
    row_no bigint not null{{ columns }}
) partition by list (load_key)
