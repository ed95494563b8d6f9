-- One row per migration of sql/schema that this database has had.
create table if not exists public.migrations (
    name text primary key, -- of its file, without .sql
    applied_at timestamptz not null default now() -- for people; no decision reads it
)
