-- One row per message of the customer.
select message_key
from delivery.messages
where customer_id = :customer_id
