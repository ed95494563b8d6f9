-- A predicate over the coupon p: as known at :now, it has been redeemed.
exists (
    select from campaigns.redemptions as r
    where r.customer_id = p.customer_id and r.code = p.code and r.outcome = 'redeemed' and r.known_at <= :now
)
