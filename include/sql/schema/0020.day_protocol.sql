-- The day protocol: what did a day and how much it had seen; one rising number over all changes of facts.

alter table shop.days
add column definition text not null default '', -- the hash of what did the day: SQL, campaign, source
add column watermark bigint; -- the number of the newest change it had seen

create sequence shop.change_no;

-- The number under which the order first came; later versions keep it. It says which of two facts of one midnight was
-- known first.
alter table shop.orders add column change_no bigint not null default nextval('shop.change_no');

create table shop.kept_orders_history as table shop.orders_history;
drop view shop.order_versions;
drop table shop.orders_history;

create table shop.orders_history (
    like shop.orders including defaults,
    superseded_at timestamptz not null,
    primary key (customer_id, source, order_ref, known_at),
    check (superseded_at > known_at)
);
alter table shop.orders_history
alter column change_no drop not null, -- the present version has it
alter column change_no drop default;

insert into shop.orders_history (
    customer_id, source, order_ref, ordered_at, ordered_on, status, total, refunded, currency, total_reporting,
    refunded_reporting, coupon_code, store, updated_at, known_at, superseded_at
)
select
    customer_id, source, order_ref, ordered_at, ordered_on, status, total, refunded, currency, total_reporting,
    refunded_reporting, coupon_code, store, updated_at, known_at, superseded_at
from shop.kept_orders_history;
drop table shop.kept_orders_history;

create view shop.order_versions as
select *, cast('infinity' as timestamptz) as superseded_at from shop.orders
union all
select * from shop.orders_history;

-- One row per customer and change: a sync, an event or an erasure. Numbers rise in the order in which changes are
-- committed, so whoever has seen one has seen all before it.
create table shop.changes (
    customer_id bigint not null,
    change_no bigint not null default nextval('shop.change_no'),
    day date not null, -- of the sync or event
    what text[] not null, -- orders, customers, consents, engagement, suppressions, erasures
    primary key (customer_id, change_no)
);
create index changes_by_number on shop.changes (change_no);

insert into shop.changes (customer_id, day, what)
select customer_id, day, cast(array[] as text[])
from shop.touched
order by day, customer_id;
drop table shop.touched;

-- The number of the newest change that the selections had seen when the customer entered; null for those before.
alter table campaigns.enrolments add column entered_change bigint;
