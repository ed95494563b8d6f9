-- One row per time zone PostgreSQL knows. A shop may send us any word as a zone, and an unknown one would be an error.
select name
from pg_timezone_names
