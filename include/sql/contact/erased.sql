-- name: is_anybody_erased
-- Whether anybody was ever erased.
select exists (select from shop.erased) as is_any;

-- name: is_erased
-- Whether this customer was erased before.
select exists (select from shop.erased where digest = cast(:digest as bytea)) as is_erased;

-- name: remember_erased
-- What is left to know the customer by, should they come again: digests.
insert into shop.erased (digest, kind, erased_at)
select u.digest, u.kind, :now
from unnest(cast(:digests as bytea[]), cast(:kinds as text[])) as u (digest, kind)
on conflict (digest) do nothing;
