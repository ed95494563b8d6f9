-- One row per event that waited too long for a message that never came: it is kept, and looked at no more.
update events.received as e
set applied_at = cast(:now as timestamptz)
where e.applied_at is null
    and e.received_at < :before
    and not exists (
        select from delivery.messages as m where m.customer_id = e.customer_id and m.message_key = e.message_key
    )
returning e.customer_id
