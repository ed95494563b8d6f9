-- What is left to know the customer by, should they come again: digests.
insert into shop.erased (digest, kind, erased_at)
select u.digest, u.kind, :now
from unnest(cast(:digests as bytea[]), cast(:kinds as text[])) as u (digest, kind)
on conflict (digest) do nothing
