-- Typed consent rows of one load.
create temporary table stage_consents (
    file_no integer not null,
    row_no bigint not null,
    row_count bigint not null,
    customer_ref text not null,
    customer_id bigint not null,
    purpose text not null,
    channel text not null,
    is_granted boolean not null,
    basis text not null,
    origin text,
    text_version text,
    updated_at timestamptz not null,
    known_at timestamptz not null,
    rule text, -- that the row breaks by itself; null: none
    told text, -- what breaks it
    taken_at timestamptz -- kept all the same, with this instant in place of its own; null: refused
)
