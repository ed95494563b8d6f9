-- The number of the newest change; 0 in an empty shop.
select coalesce(max(change_no), 0) as change_no
from shop.changes
