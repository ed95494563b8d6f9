-- Rows as they come, as plain CSV. Freeze: nobody else sees the table before the commit.
copy {{ table }} ({{ columns }}) from stdin (
    format csv, freeze true, delimiter {{ delimiter }}, quote {{ quote }}, force_null ({{ columns }}), encoding 'UTF8'
)
