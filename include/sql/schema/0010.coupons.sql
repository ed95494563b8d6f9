-- Coupons whose time is not long over are looked at each time events are applied.
-- depends: 0010.clicks
create index coupons_by_expiry on campaigns.coupons (expires_at);
