-- From now on nobody writes to this customer, whatever becomes of the rest.
insert into shop.suppressions (customer_id, channel, reason, known_at)
select cast(:customer_id as bigint), 'all', 'erased', :now
where not exists (
    select from shop.suppressions as s
    where s.customer_id = :customer_id and s.channel = 'all' and s.reason = 'erased' and s.lifted_at is null
)
on conflict do nothing
