-- Typed order rows. Offset 0 keeps the mapping's expressions from being computed once per use.
insert into stage_orders
select
    m.file_no,
    m.row_no,
    m.row_count,
    m.customer_ref,
    shop.customer_id(:namespace, m.customer_ref),
    :source,
    m.order_ref,
    m.ordered_at,
    m.ordered_on,
    m.status,
    m.total,
    coalesce(m.refunded, 0),
    m.currency,
    m.total * m.rate,
    coalesce(m.refunded, 0) * m.rate,
    m.coupon_code,
    m.store,
    m.updated_at,
    coalesce(m.file_known_at, cast(cast(m.updated_at at time zone :shop_zone as date) + 1 as timestamp) at time zone :shop_zone)
from (
    select
        q.*,
        case when q.currency = :reporting then 1 else (
            select r.rate from shop.rates as r
            where r.currency = q.currency and r.valid_from <= q.ordered_on
            order by r.valid_from desc limit 1
        ) end as rate
    from (
        select
            p.file_no,
            p.row_no,
            cast({{ row_count }} as bigint) as row_count,
            cast(p.customer_ref as text) as customer_ref,
            cast(p.order_ref as text) as order_ref,
            cast(p.ordered_at as timestamptz) as ordered_at,
            cast(cast(p.ordered_at as timestamptz) at time zone :shop_zone as date) as ordered_on,
            cast(p.status as text) as status,
            cast(p.total as numeric(14, 2)) as total,
            cast({{ refunded }} as numeric(14, 2)) as refunded,
            cast(p.currency as text) as currency,
            cast({{ coupon_code }} as text) as coupon_code,
            cast({{ store }} as text) as store,
            cast(coalesce({{ updated_at }}, f.starts_at, p.ordered_at) as timestamptz) as updated_at,
            f.known_at as file_known_at
        from (
            {{ mapping }}
            offset 0
        ) as p
        inner join stage_files as f using (file_no)
        offset 0
    ) as q
    offset 0
) as m
