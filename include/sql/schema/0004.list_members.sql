-- Who is on which list of subscribers, and since when: half-open [since, until). The last stint; those before it are in
-- the history.
create table shop.list_members (
    customer_id bigint not null,
    list text not null,
    since timestamptz not null,
    until timestamptz check (until >= since), -- null: still on it
    updated_at timestamptz not null,
    known_at timestamptz not null,
    primary key (customer_id, list)
);

create table shop.list_members_history (
    like shop.list_members including defaults,
    superseded_at timestamptz not null,
    primary key (customer_id, list, known_at),
    check (superseded_at > known_at)
);

create view shop.list_member_versions as
select
    customer_id, list, since, until, updated_at, known_at,
    cast('infinity' as timestamptz) as superseded_at
from shop.list_members
union all
select
    customer_id, list, since, until, updated_at, known_at, superseded_at
from shop.list_members_history;
