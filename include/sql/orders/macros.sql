-- One row per customer with an order: what shop.customer_stats holds. Nothing in it depends on today. `orders` and
-- `order_lines` name the world: the present, or the versions known on a day.
{% macro customer_statistics(orders, order_lines) -%}
    select
        o.customer_id,
        cast(count(*) as integer) as orders_count,
        cast(count(*) filter (where o.status = 'complete') as integer) as complete_orders,
        min(o.ordered_on) filter (where o.status = 'complete') as first_order_on,
        max(o.ordered_on) filter (where o.status = 'complete') as last_order_on,
        max(o.ordered_at) filter (where o.status = 'complete') as last_order_at,
        coalesce(sum(o.total_reporting - o.refunded_reporting) filter (where o.status = 'complete'), 0) as revenue,
        (array_agg(o.gap_days order by o.ordered_at desc, o.source desc, o.order_ref desc)
            filter (where o.status = 'complete'))[1] as last_gap_days,
        cast(
            percentile_cont(0.5) within group (order by o.gap_days) filter (where o.status = 'complete')
            as numeric(10, 1)
        ) as median_gap_days,
        coalesce((
            select array_agg(distinct l.category order by l.category)
            from {{ order_lines }} as l
            inner join {{ orders }} as c using (customer_id, source, order_ref)
            where l.customer_id = o.customer_id and c.status = 'complete' and l.category is not null
        ), '{}') as categories
    from (
        select
            *,
            ordered_on - lag(ordered_on) over (
                partition by customer_id, status = 'complete' order by ordered_at, source, order_ref
            ) as gap_days
        from {{ orders }}
    ) as o
    group by o.customer_id
{%- endmacro %}

-- The rule that the instant `told` breaks; `future` is the rule's name if it lies ahead.
{% macro broken_by(told, future) -%}
    case
        when {{ told }} is null then 'without_a_time'
        when {{ told }} > newest_at then '{{ future }}'
        else 'too_long_ago'
    end
{%- endmacro %}

-- What a unit of the currency of `money` was worth in reporting currency on its ordered_on; null where nobody knows.
{% macro rate(money) -%}
    case when {{ money }}.currency = :reporting then 1 else (
        select r.rate from shop.rates as r
        where r.currency = {{ money }}.currency and r.valid_from <= {{ money }}.ordered_on
        order by r.valid_from desc limit 1
    ) end
{%- endmacro %}

-- True of a `landed` row of a customer who was erased: of :ref, or of anybody. `customer_ref`: an expression over it.
{% macro is_erased(landed, customer_ref) -%}
    (cast(:ref as text) is null or ({{ customer_ref }}) = cast(:ref as text))
    and (cast(:load_key as text) is null or {{ landed }}.load_key = :load_key)
    and sha256(cast(:outer_pad as bytea) || sha256(cast(:inner_pad as bytea) || convert_to(
        concat_ws(chr(31), 'erased', 'customer', cast(:namespace as text), ({{ customer_ref }})), 'UTF8'
    ))) in (select e.digest from shop.erased as e)
{%- endmacro %}

-- One rejection per landed row that is `gone`, quoting nothing of it: so what was landed is still accepted or rejected.
{% macro reject(gone) -%}
    insert into landing.rejections (load_id, file, file_no, row_no, rule)
    select
        l.load_id,
        f.file ->> 'name',
        g.file_no,
        g.row_no,
        'erased'
    from {{ gone }} as g
    inner join landing.loads as l on l.source = :source and l.feed = :feed and l.load_key = g.load_key
    cross join lateral jsonb_array_elements(l.files) as f (file)
    where cast(f.file ->> 'number' as integer) = g.file_no
    on conflict do nothing
    returning load_id
{%- endmacro %}

-- The midnight in the shop's zone that ends the day of an instant.
{% macro midnight_after(instant) -%}
    cast(cast({{ instant }} at time zone :shop_zone as date) + 1 as timestamp) at time zone :shop_zone
{%- endmacro %}
