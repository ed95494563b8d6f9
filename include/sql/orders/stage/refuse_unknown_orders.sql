-- Lines of an order that neither the shop nor this load has.
insert into stage_refused (feed, file_no, row_no, rule, value)
select :feed, l.file_no, l.row_no, 'order_unknown', l.order_ref
from stage_order_lines as l
where not exists (select from stage_orders as o where o.order_ref = l.order_ref)
    and not exists (select from shop.orders as known where known.source = :source and known.order_ref = l.order_ref)
on conflict do nothing
