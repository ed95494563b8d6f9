-- Rows refused, by themselves or because of other rows: one row per landed row and rule.
create temporary table stage_refused (
    feed text not null,
    file_no integer not null,
    row_no bigint not null,
    rule text not null,
    value text,
    primary key (feed, file_no, row_no, rule)
)
