-- The page says how long a row is that could not be read, and shows nothing of it.
alter table landing.rejections add column length bigint; -- of an unreadable row, in bytes; null for one with columns
