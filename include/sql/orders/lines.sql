-- name: create_new_lines
-- Order lines of the load as they should stand: of an order that comes in several files, those of the last file only.
create temporary table lines_new as
select distinct on (customer_id, source, order_ref, line_no)
    customer_id,
    source,
    order_ref,
    line_no,
    product_ref,
    category,
    description,
    quantity,
    unit_price,
    known_at
from (
    select
        o.customer_id,
        o.source,
        l.order_ref,
        l.file_no,
        l.row_no,
        cast(coalesce(l.line_no, l.place) as integer) as line_no,
        l.product_ref,
        l.category,
        l.description,
        l.quantity,
        l.unit_price,
        coalesce(l.known_at, o.known_at) as known_at
    from (
        select
            *,
            row_number() over (partition by order_ref, file_no order by row_no) as place,
            max(file_no) over (partition by order_ref) as last_file_no
        from stage_order_lines
    ) as l
    inner join shop.orders as o on o.source = :source and o.order_ref = l.order_ref
    where l.file_no = l.last_file_no
) as placed
order by customer_id, source, order_ref, line_no, row_no desc;

-- name: create_changed_lines
-- Orders whose lines differ from those in the shop.
create temporary table lines_changed (
    customer_id bigint not null,
    source text not null,
    order_ref text not null,
    primary key (customer_id, source, order_ref)
);

-- name: find_changed_lines
-- Orders with a line that the shop has not, or has otherwise.
insert into lines_changed (customer_id, source, order_ref)
select distinct n.customer_id, n.source, n.order_ref
from lines_new as n
left join shop.order_lines as l using (customer_id, source, order_ref, line_no)
where l.customer_id is null
    or (n.product_ref, n.category, n.description, n.quantity, n.unit_price)
    is distinct from (l.product_ref, l.category, l.description, l.quantity, l.unit_price);

-- name: find_shortened_orders
-- Orders with a line in the shop that the load no longer has.
insert into lines_changed (customer_id, source, order_ref)
select distinct l.customer_id, l.source, l.order_ref
from shop.order_lines as l
inner join (select distinct customer_id, source, order_ref from lines_new) as k using (customer_id, source, order_ref)
where not exists (
    select from lines_new as n
    where n.customer_id = l.customer_id and n.source = l.source and n.order_ref = l.order_ref and n.line_no = l.line_no
)
on conflict do nothing;

-- name: keep_newer_lines
-- Lines that a later landing brought stay: an older file that comes again changes nothing.
delete from lines_changed as c
using shop.order_lines as l, lines_new as n
where l.customer_id = c.customer_id and l.source = c.source and l.order_ref = c.order_ref
    and n.customer_id = c.customer_id and n.source = c.source and n.order_ref = c.order_ref
    and l.known_at > n.known_at;

-- name: delete_old_lines
-- The lines of changed orders go all at once.
delete from shop.order_lines as l
using lines_changed as c
where l.customer_id = c.customer_id and l.source = c.source and l.order_ref = c.order_ref;

-- name: touch_customers_of_lines
-- Customers with changed lines: what they bought is part of their statistics.
insert into stage_touched (customer_id, what)
select distinct customer_id, 'orders' from lines_changed;

-- name: insert_new_lines
-- The lines of changed orders as the load has them.
insert into shop.order_lines (
    customer_id, source, order_ref, line_no, product_ref, category, description, quantity, unit_price, known_at
)
select n.customer_id, n.source, n.order_ref, n.line_no, n.product_ref, n.category, n.description, n.quantity, n.unit_price, n.known_at
from lines_new as n
{{ only_changed }}
order by n.customer_id, n.source, n.order_ref, n.line_no;
