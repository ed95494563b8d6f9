-- How many messages of the customer a worker is handing over.
select count(*)
from delivery.messages
where customer_id = :customer_id and state = 'attempting'
