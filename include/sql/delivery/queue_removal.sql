-- One row per membership of a customer who was erased: out of every audience with the next export, which then deletes it.
update delivery.audience_members
set left_at = coalesce(left_at, :now),
    left_reason = 'erased'
where customer_id = :customer_id
returning customer_id
