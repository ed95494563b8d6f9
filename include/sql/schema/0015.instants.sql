-- What is known of wrong clocks: which facts are kept although their instant cannot be, and an end to those stored before.

-- One row per landed row that is kept with another instant than its own: a withdrawal or cancellation by a wrong clock.
create table landing.corrections (
    load_id bigint not null references landing.loads on delete cascade,
    file text not null,
    file_no integer not null,
    row_no bigint not null, -- the row in its file, the first after the header is 1
    rule text not null, -- what its own instant breaks
    value text, -- that instant; null: it cannot be read
    taken_at timestamptz not null, -- the instant that stands in its place
    primary key (load_id, file_no, row_no)
);

-- A version dated later than a day after it was known would outlive every later one.
update shop.customers set updated_at = known_at where updated_at > known_at + interval '1 day';
update shop.customers_history set updated_at = known_at where updated_at > known_at + interval '1 day';
update shop.orders set updated_at = known_at where updated_at > known_at + interval '1 day';
update shop.orders_history set updated_at = known_at where updated_at > known_at + interval '1 day';
update shop.consents set updated_at = known_at where updated_at > known_at + interval '1 day';
update shop.consents_history set updated_at = known_at where updated_at > known_at + interval '1 day';
