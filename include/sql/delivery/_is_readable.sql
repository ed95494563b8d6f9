-- True of a day or an instant that every program can read and reckon with, whatever the zone; null, none at all, too.
-- Inside a with value = "...", an expression.
coalesce({{ value }} >= '0002-01-01' and {{ value }} < '9999-01-01', true)
