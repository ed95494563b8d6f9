-- Rows read and numbered by us.
copy {{ table }} ({{ columns }}) from stdin
