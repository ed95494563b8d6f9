-- Typed order rows. Offset 0 keeps the mapping's expressions, and ours, from being computed once per use.
-- What cannot be breaks a rule, and something that can be stands in its place. A cancellation by a wrong clock is kept.
insert into stage_orders
select
    file_no,
    row_no,
    row_count,
    customer_ref,
    shop.customer_id(:namespace, customer_ref),
    :source,
    order_ref,
    ordered_at,
    ordered_on,
    status,
    coalesce(total, 0),
    coalesce(refunded, 0),
    currency,
    total_reporting,
    refunded_reporting,
    coupon_code,
    store,
    updated_at,
    greatest(not_before, coalesce(
        known_at,
        case when is_changed_wrongly then landed_at else {% include "orders/stage/_midnight_after.sql" %} end
    )),
    rule,
    case
        when rule is null then null
        when rule = 'number_out_of_range' then left(concat_ws(' ', told_total, nullif(told_refunded, 0), currency), 200)
        when rule = 'key_too_long' then left(order_ref, 200)
        when rule = 'no_rate' then currency || ' on ' || ordered_on
        when is_ordered_wrongly then cast(told_ordered_at as text)
        else cast(told_updated_at as text)
    end,
    case
        when is_changed_wrongly and not is_ordered_wrongly and status in ('cancelled', 'refunded')
            and rule in ('changed_in_the_future', 'too_long_ago') then landed_at
    end
from (
    select
        *,
        case
            when total is null or refunded is null then 'number_out_of_range'
            when octet_length(order_ref) > 1000 then 'key_too_long'
            when is_ordered_wrongly then
                {% with told = "told_ordered_at", future = "in_the_future" %}{% include "orders/stage/_broken_by.sql" %}{% endwith %}
            when rate is null then 'no_rate'
            when total_reporting is null or refunded_reporting is null then 'number_out_of_range'
            when is_changed_wrongly then
                {% with told = "told_updated_at", future = "changed_in_the_future" %}{% include "orders/stage/_broken_by.sql" %}{% endwith %}
        end as rule
    from (
        select
            *,
            case when abs(total * rate) < 999999999999 then total * rate end as total_reporting,
            case when abs(refunded * rate) < 999999999999 then refunded * rate end as refunded_reporting
        from (
            select
                *,
                {% include "orders/stage/_rate.sql" %} as rate
            from (
                select
                    *,
                    cast(ordered_at at time zone :shop_zone as date) as ordered_on,
                    case when abs(told_total) < 999999999999 then told_total end as total,
                    case when abs(told_refunded) < 999999999999 then told_refunded end as refunded,
                    (told_ordered_at is distinct from ordered_at) as is_ordered_wrongly,
                    (told_updated_at between timestamptz '1970-01-01 00:00:00+00' and newest_at) is not true as is_changed_wrongly,
                    case
                        when told_updated_at between timestamptz '1970-01-01 00:00:00+00' and landed_at then told_updated_at
                        else landed_at
                    end as updated_at
                from (
                    select
                        p.file_no,
                        p.row_no,
                        cast({{ row_count }} as bigint) as row_count,
                        cast(p.customer_ref as text) as customer_ref,
                        cast(p.order_ref as text) as order_ref,
                        cast(p.ordered_at as timestamptz) as told_ordered_at,
                        least(greatest(cast(p.ordered_at as timestamptz), :orders_since), f.newest_at) as ordered_at,
                        cast(p.status as text) as status,
                        cast(p.total as numeric) as told_total,
                        cast(coalesce({{ refunded }}, 0) as numeric) as told_refunded,
                        cast(p.currency as text) as currency,
                        cast({{ coupon_code }} as text) as coupon_code,
                        cast({{ store }} as text) as store,
                        cast(coalesce({{ updated_at }}, f.starts_at, p.ordered_at) as timestamptz) as told_updated_at,
                        f.known_at,
                        f.not_before,
                        f.landed_at,
                        f.newest_at
                    from (
                        {{ mapping }}
                        offset 0
                    ) as p
                    inner join stage_files as f using (file_no)
                ) as told
                offset 0
            ) as money
            offset 0
        ) as rated
        offset 0
    ) as reported
    offset 0
) as judged
