-- name: set_rates
-- The dated rates; those that are the same are not written again.
insert into shop.rates as r (currency, valid_from, rate)
select f.currency, f.valid_from, f.rate
from jsonb_to_recordset(cast(:rates as jsonb)) as f (currency text, valid_from date, rate numeric(18, 8))
on conflict (currency, valid_from) do update set rate = excluded.rate where r.rate <> excluded.rate;
