{% from "contact/macros.sql" import is_known %}

-- name: are_sales_counted
-- True once what was sold in the year before :as_of is counted, and something was.
select exists (select from offers.sales as s where s.as_of = :as_of) as are_counted;

-- name: forget_sales
-- One row per row of a week that nobody catches up with any more. Newer ones stay: another campaign may be ahead.
delete from offers.sales as s
where s.as_of < cast(:as_of as date) - 28
returning s.as_of;

-- name: count_sales
-- One row per product sold in the year before :as_of, as known when that day began: its revenue, and its share of the
-- orders. An order's revenue is shared out by what its lines come to; one without lines is one product, of no name.
insert into offers.sales (as_of, source, product_ref, category, revenue, orders)
select
    :as_of,
    sold.source,
    sold.product_ref,
    sold.category,
    sum(sold.revenue * sold.share),
    sum(sold.share)
from (
    select
        o.source,
        coalesce(line.product_ref, '') as product_ref,
        coalesce(line.category, '') as category,
        o.total_reporting - coalesce(o.refunded_reporting, 0) as revenue,
        coalesce(
            line.amount / sum(line.amount) over (partition by o.customer_id, o.source, o.order_ref), 1
        ) as share
    from shop.order_versions as o
    left join (
        select
            l.customer_id,
            l.source,
            l.order_ref,
            l.product_ref,
            l.category,
            l.quantity * l.unit_price as amount
        from shop.order_lines as l
        where l.quantity * l.unit_price > 0
    ) as line on line.customer_id = o.customer_id and line.source = o.source and line.order_ref = o.order_ref
    where o.status = 'complete'
        and o.ordered_on >= cast(:as_of as date) - 365
        and {{ is_known("o") }}
        and o.total_reporting > coalesce(o.refunded_reporting, 0)
) as sold
group by sold.source, sold.product_ref, sold.category
on conflict do nothing
returning as_of;

-- name: margin_sold
-- One row: of what was sold in the year before :as_of, of :categories or :products where there are any, the revenue,
-- how many orders that is, how much of it has a known margin, and that margin, as it was known then. What was sold
-- without lines counts wherever it is asked.
select
    coalesce(sum(s.revenue), 0) as revenue,
    coalesce(sum(s.orders), 0) as orders,
    coalesce(sum(s.revenue) filter (where product.margin is not null), 0) as known,
    sum(s.revenue * product.margin) / sum(s.revenue) filter (where product.margin is not null) as margin
from offers.sales as s
left join shop.product_versions as product
    on product.source = s.source and product.product_ref = s.product_ref and {{ is_known("product") }}
where s.as_of = :as_of
    and (
        s.product_ref = ''
        or cardinality(cast(:categories as text[]) || cast(:products as text[])) = 0
        or s.category = any(cast(:categories as text[]))
        or product.category = any(cast(:categories as text[]))
        or s.product_ref = any(cast(:products as text[]))
    );
