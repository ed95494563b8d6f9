-- Why the coupon p does not count for the order u, in words of campaigns.redemptions; null if it does. A code is out from
-- the day (in shop_zone) on which the first message with it was handed over: some shops know only the day of an order.
case
    when p.state not in ('issued', 'redeemed') or not exists (
        select from delivery.messages as m
        where m.customer_id = p.customer_id
            and m.campaign = p.campaign
            and m.entry_no = p.entry_no
            and m.offer = p.offer
            and cast(m.attempted_at at time zone cast(:shop_zone as text) as date)
            <= cast(u.redeemed_at at time zone cast(:shop_zone as text) as date)
    ) then 'not_issued'
    when u.redeemed_at > p.expires_at then 'expired'
end
