-- One row per message of the customer that was still planned.
update delivery.messages as m
set state = 'skipped', reason = 'erased', settled_at = :now, retry_at = null
where m.customer_id = :customer_id and m.state = 'planned'
returning m.customer_id, m.campaign, m.entry_no, m.offer, m.state
