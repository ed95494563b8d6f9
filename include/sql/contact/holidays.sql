-- name: holiday_years
-- One row per year whose holidays are there as this release of the library has them.
select distinct cast(extract(year from h.holiday) as integer) as year
from shop.holidays as h
where h.edition = :edition;

-- name: forget_holidays
-- Those of some years go, in the transaction that writes them anew.
delete from shop.holidays
where extract(year from holiday) = any(cast(:years as integer[]));

-- name: write_holidays
-- One row per country and holiday in one of these years.
insert into shop.holidays (country, holiday, edition)
select u.country, u.holiday, :edition
from unnest(cast(:countries as text[]), cast(:holidays as date[])) as u (country, holiday)
where extract(year from u.holiday) = any(cast(:years as integer[]))
on conflict (country, holiday) do nothing;
