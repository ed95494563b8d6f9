-- Where lines and orders are the same landed rows, a line that breaks a rule takes its order with it; how many orders.
with refused as (
    insert into stage_refused (feed, file_no, row_no, rule, value)
    select 'orders', o.file_no, o.row_no, min(l.rule), min(l.told)
    from stage_order_lines as l
    inner join stage_orders as o
        on o.file_no = l.file_no and o.order_ref = l.order_ref
        and (l.customer_ref is null or l.customer_ref = o.customer_ref)
    where l.rule is not null
    group by o.file_no, o.row_no
    on conflict do nothing
    returning 1
)

select count(*) from refused
