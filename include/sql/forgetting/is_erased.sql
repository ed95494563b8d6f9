-- Whether this customer was erased before.
select exists (select from shop.erased where digest = cast(:digest as bytea)) as is_erased
