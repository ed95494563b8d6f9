-- One row per suppression lifted: those by a text, STOP, of customers who now wrote START. No other reason is lifted.
update shop.suppressions as s
set lifted_at = cast(:known_at as timestamptz)
where s.customer_id = any(cast(:customer_ids as bigint[]))
    and s.reason = 'stopped'
    and s.lifted_at is null
returning s.customer_id
