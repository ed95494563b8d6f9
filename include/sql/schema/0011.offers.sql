-- What offers of every sort need: codes without a percentage, and what was sold, for their margins.

alter table offers.coupons
alter column percent drop not null, -- null: an offer of another sort
add column terms jsonb; -- what the offer said when the code was reserved; null: from before offers had files

-- What was sold in the year before a Monday: the weights of margins. One row per product as its lines name it.
create table offers.sales (
    as_of date not null, -- a Monday, as known at whose beginning
    source text not null,
    product_ref text not null, -- empty: of orders without lines
    category text not null, -- of the lines; empty: they name none
    revenue numeric not null, -- in the shop's reporting currency, less refunds
    orders numeric not null, -- each order shared out by revenue: revenue / orders is what one comes to
    primary key (as_of, source, product_ref, category)
);
