-- Clicks on our own links, and what became of coupons in the shop.

alter table events.received drop constraint received_provider_check;
alter table events.received add constraint received_provider_check
check (provider in ('sendgrid', 'twilio', 'retention')); -- retention: a link of ours was followed

-- One row per coupon and order that carried it, whether an order's file said so or the shop's own system.
create table campaigns.redemptions (
    customer_id bigint not null,
    code text not null,
    order_ref text not null,
    source text not null, -- of the order; shop: told by the shop's own system
    campaign text not null,
    entry_no integer not null,
    offer text not null,
    outcome text not null check (outcome in ('redeemed', 'expired', 'not_issued', 'redeemed_before')),
    redeemed_at timestamptz not null, -- when the order was placed
    known_at timestamptz not null, -- when we could know
    primary key (customer_id, code, order_ref)
);
create unique index redemptions_once on campaigns.redemptions (customer_id, code) where outcome = 'redeemed';
create index coupons_by_code on campaigns.coupons (code); -- not unique: the shop's system names no customer
create index coupons_by_day on campaigns.coupons (reserved_on);
