-- One row: the first due message after a place in the queue; while sending :is_blocked, the first that has expired.
-- No claim that meets it can be read, so nothing of it is read here: it is skipped, and the queue goes on.
update delivery.messages as m
set state = 'skipped',
    reason = 'unreadable',
    claim = cast(:claim as uuid),
    settled_at = cast(:now as timestamptz),
    retry_at = null
where (m.customer_id, m.message_key) = (
    select m.customer_id, m.message_key
    from delivery.messages as m
    where (m.due_at, m.message_key) > (cast(:after_at as timestamptz), cast(:after_key as text))
        and {% include "delivery/_is_due.sql" %}
        and (m.expires_at <= :now or not cast(:is_blocked as boolean))
    order by m.due_at, m.message_key
    limit 1
)
and m.state = 'planned'
returning m.customer_id, m.message_key, m.campaign, m.entry_no, m.offer, m.state
