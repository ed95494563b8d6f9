-- Whether anybody was ever erased.
select exists (select from shop.erased) as is_any
