-- name: copy
-- Rows as they come, as plain CSV. Freeze: nobody else sees the table before the commit.
copy {{ table }} ({{ listed }}) from stdin (
    format csv, freeze true, delimiter {{ delimiter }}, quote {{ quote }}, force_null ({{ listed }}), encoding 'UTF8'
);

-- name: copy_rows
-- Rows read and numbered by us.
copy {{ table }} ({{ listed }}) from stdin;

-- name: copy_rejections
-- Rows that could not be landed.
copy landing.rejections (load_id, file, file_no, row_no, rule, value, row_text, length) from stdin;

-- name: restart_numbering
-- The first row of a file is number 1.
alter sequence {{ sequence }} restart with 1;
