-- A customer known only from an order or a consent: one row that any real one supersedes.
with added as (
    insert into shop.customers (customer_id, namespace, customer_ref, updated_at, known_at)
    select s.customer_id, :namespace, s.customer_ref, timestamptz '1900-01-01 00:00:00+00', s.known_at
    from stage_seen as s
    order by s.customer_id
    on conflict (customer_id) do nothing
    returning customer_id
)
insert into stage_touched (customer_id, what)
select customer_id, 'customers' from added
