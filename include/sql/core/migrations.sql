-- name: create_migrations
-- One row per migration of sql/schema that this database has had.
create table if not exists public.migrations (
    name text primary key, -- of its file, without .sql
    applied_at timestamptz not null default now() -- for people; no decision reads it
);

-- name: record_migration
-- This migration is done, in the transaction that did it.
insert into public.migrations (name)
values (:name);
