-- An order that comes under several customers in one load stays with the first of them; the others' rows are refused.
insert into stage_refused (feed, file_no, row_no, rule, value)
select 'orders', s.file_no, s.row_no, 'customer_changed', s.order_ref
from (
    select
        o.file_no,
        o.row_no,
        o.order_ref,
        o.customer_id,
        first_value(o.customer_id) over (
            partition by o.order_ref order by o.updated_at, o.known_at, o.file_no, o.row_no
        ) as first_customer_id
    from stage_orders as o
    inner join stage_repeated as r using (order_ref)
    where r.customers_differ
) as s
where s.customer_id <> s.first_customer_id
    and not exists (select from shop.orders as known where known.source = :source and known.order_ref = s.order_ref)
on conflict do nothing
