-- What becomes of the use w of a coupon: the first that counts, in the order in which we could know of them, redeems it.
case
    when w.why_not is not null then w.why_not
    when w.place > 1 or exists (
        select from campaigns.redemptions as r
        where r.customer_id = w.customer_id and r.code = w.code and r.outcome = 'redeemed'
    ) then 'redeemed_before'
    else 'redeemed'
end
