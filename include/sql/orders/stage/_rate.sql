-- What a unit of `currency` was worth in reporting currency on ordered_on; null where nobody knows.
case when currency = :reporting then 1 else (
    select r.rate from shop.rates as r
    where r.currency = money.currency and r.valid_from <= money.ordered_on
    order by r.valid_from desc limit 1
) end
