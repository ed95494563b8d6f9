-- No message is there twice. One row per message key that stands more than once in the ledger.
select m.message_key
from delivery.messages as m
group by m.message_key
having count(*) > 1
