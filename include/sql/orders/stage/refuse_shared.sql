-- Where lines and orders are the same landed rows, a refused order takes all its rows with it.
insert into stage_refused (feed, file_no, row_no, rule, value)
select 'orders', l.file_no, l.row_no, r.rule, r.value
from stage_refused as r
inner join stage_orders as o on o.file_no = r.file_no and o.row_no = r.row_no
inner join stage_order_lines as l
    on l.file_no = o.file_no and l.order_ref = o.order_ref and (l.customer_ref is null or l.customer_ref = o.customer_ref)
where r.feed = 'orders'
on conflict do nothing
