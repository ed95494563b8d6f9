-- What has become of the message with :message_key.
select state, reason, expires_at
from delivery.messages
where message_key = :message_key
