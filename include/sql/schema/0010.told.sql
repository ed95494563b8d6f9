-- One row per coupon that the shop was told of: what was said last.
-- depends: 0010.indexes
create table campaigns.coupons_told (
    customer_id bigint not null,
    campaign text not null,
    entry_no integer not null,
    offer text not null,
    state text not null,
    expires_at timestamptz,
    told_at timestamptz not null,
    primary key (customer_id, campaign, entry_no, offer)
);
