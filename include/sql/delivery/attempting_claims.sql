-- One row per claim that has messages being attempted: by a live worker, or by one that died.
select distinct claim
from delivery.messages
where state = 'attempting'
