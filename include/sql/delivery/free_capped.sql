-- One row per message that a cap held back and that may try again now: of the customers given, since one of their
-- messages was not sent after all; of everybody where none are given, since the caps have changed.
update delivery.messages as m
set reason = null,
    retry_at = null
where m.state = 'planned'
    and m.reason = 'capped'
    and (cast(:customer_ids as bigint[]) is null or m.customer_id = any(cast(:customer_ids as bigint[])))
returning m.customer_id
