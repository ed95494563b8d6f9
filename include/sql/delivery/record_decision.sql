-- Who decided what about an unknown message, and when; beside the message, in one transaction.
insert into delivery.decisions (customer_id, message_key, decided_at, decision, decided_by)
values (:customer_id, :message_key, :now, :decision, :decided_by)
