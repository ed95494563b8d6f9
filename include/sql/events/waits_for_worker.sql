-- Whether an event waits for a message that is still being attempted: its worker lives, or has died.
select exists (
    select from events.received as e
    inner join delivery.messages as m on m.customer_id = e.customer_id and m.message_key = e.message_key
    where e.applied_at is null and m.state = 'attempting'
) as waits
