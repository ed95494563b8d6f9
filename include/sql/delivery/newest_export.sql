-- When the newest export of :channel was fixed; null where there is none.
select max(x.exported_at) as exported_at
from delivery.exports as x
where x.channel = :channel
