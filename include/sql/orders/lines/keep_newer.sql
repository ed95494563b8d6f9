-- Lines that a later landing brought stay: an older file that comes again changes nothing.
delete from lines_changed as c
using shop.order_lines as l, lines_new as n
where l.customer_id = c.customer_id and l.source = c.source and l.order_ref = c.order_ref
    and n.customer_id = c.customer_id and n.source = c.source and n.order_ref = c.order_ref
    and l.known_at > n.known_at
