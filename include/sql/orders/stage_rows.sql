{% from "orders/macros.sql" import broken_by, midnight_after, rate %}

-- name: accepted_rows
-- The landed rows of a load that no rule rejects. Offset 0: no cast of a mapping may run before the bad rows are gone.
(
    select r.*
    from {{ part }} as r
    where
        not exists (
            select from landing.rejections as x
            where x.load_id = {{ load_id }} and x.file_no = r.file_no and x.row_no = r.row_no
        )
    offset 0
);

-- name: mapping_columns
-- No row: only the names of the columns that a mapping gives.
select *
from (
    {{ mapping }}
) as m
limit 0;

-- name: stage_orders
-- Typed order rows. Offset 0 keeps the mapping's expressions, and ours, from being computed once per use.
-- What cannot be breaks a rule, and something that can be stands in its place. A cancellation by a wrong clock is kept.
insert into stage_orders (
    file_no, row_no, row_count, customer_ref, customer_id, source, order_ref, ordered_at, ordered_on, status, total,
    refunded, currency, total_reporting, refunded_reporting, coupon_code, store, updated_at, known_at, own_known_at,
    rule, told, taken_at
)
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
    greatest(not_before, own_known_at),
    own_known_at,
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
            when is_ordered_wrongly then {{ broken_by("told_ordered_at", "in_the_future") }}
            when rate is null then 'no_rate'
            when total_reporting is null or refunded_reporting is null then 'number_out_of_range'
            when is_changed_wrongly then {{ broken_by("told_updated_at", "changed_in_the_future") }}
        end as rule,
        coalesce(known_at, case when is_changed_wrongly then landed_at else {{ midnight_after("updated_at") }} end)
            as own_known_at
    from (
        select
            *,
            case when abs(total * rate) < 999999999999 then total * rate end as total_reporting,
            case when abs(refunded * rate) < 999999999999 then refunded * rate end as refunded_reporting
        from (
            select
                *,
                {{ rate("money") }} as rate
            from (
                select
                    *,
                    cast(ordered_at at time zone :shop_zone as date) as ordered_on,
                    case when abs(told_total) < 999999999999 then told_total end as total,
                    case when abs(told_refunded) < 999999999999 then told_refunded end as refunded,
                    (told_ordered_at is distinct from ordered_at) as is_ordered_wrongly,
                    (told_updated_at between timestamptz '1970-01-01 00:00:00+00' and newest_at) is not true
                        as is_changed_wrongly,
                    case
                        when told_updated_at between timestamptz '1970-01-01 00:00:00+00' and landed_at
                            then told_updated_at
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
) as judged;

-- name: stage_order_lines
-- Typed order lines.
insert into stage_order_lines (
    file_no, row_no, row_count, customer_ref, order_ref, line_no, product_ref, category, description, quantity,
    unit_price, known_at, rule, told, taken_at
)
select
    file_no,
    row_no,
    row_count,
    customer_ref,
    order_ref,
    case when rule is null then cast(line_no as integer) end,
    product_ref,
    category,
    description,
    case when rule is null then quantity else 0 end,
    case when rule is null then unit_price else 0 end,
    known_at,
    rule,
    case
        when rule = 'key_too_long' then left(order_ref, 200)
        when rule is not null then left(concat_ws(' ', line_no, quantity, unit_price), 200)
    end,
    null
from (
    select
        *,
        case
            when (
                abs(quantity) < 99999999999 and abs(unit_price) < 9999999999
                and abs(coalesce(line_no, 0)) < 2147483647
            ) is not true then 'number_out_of_range'
            when octet_length(order_ref) > 1000 then 'key_too_long'
        end as rule
    from (
        select
            p.file_no,
            p.row_no,
            {{ row_count }} as row_count,
            {{ customer_ref }} as customer_ref,
            p.order_ref,
            cast({{ line_no }} as numeric) as line_no,
            p.product_ref,
            {{ category }} as category,
            {{ description }} as description,
            cast(p.quantity as numeric) as quantity,
            cast(p.unit_price as numeric) as unit_price,
            f.known_at
        from (
            {{ mapping }}
            offset 0
        ) as p
        inner join stage_files as f using (file_no)
        offset 0
    ) as told
    offset 0
) as judged;

-- name: stage_customers
-- Typed customer rows. A time zone that PostgreSQL does not know is none at all; then the shop's counts.
insert into stage_customers (
    file_no, row_no, row_count, customer_id, namespace, customer_ref, email, phone, first_name, last_name, language,
    country, time_zone, household_ref, registered_at, street, postal_code, city, updated_at, known_at, own_known_at,
    rule, told, taken_at
)
select
    file_no,
    row_no,
    row_count,
    customer_id,
    namespace,
    customer_ref,
    email,
    phone,
    first_name,
    last_name,
    language,
    country,
    zones.name,
    household_ref,
    registered_at,
    street,
    postal_code,
    city,
    updated_at,
    greatest(not_before, coalesce(known_at, {{ midnight_after("updated_at") }})),
    coalesce(known_at, {{ midnight_after("updated_at") }}),
    case
        when is_changed_wrongly then {{ broken_by("told_updated_at", "changed_in_the_future") }}
        when is_registered_wrongly then {{ broken_by("registered_at", "registered_in_the_future") }}
    end,
    case
        when is_changed_wrongly then cast(told_updated_at as text)
        when is_registered_wrongly then cast(registered_at as text)
    end,
    null
from (
    select
        *,
        (told_updated_at between timestamptz '1970-01-01 00:00:00+00' and newest_at) is not true as is_changed_wrongly,
        registered_at not between timestamptz '1970-01-01 00:00:00+00' and newest_at as is_registered_wrongly,
        case
            when told_updated_at between timestamptz '1970-01-01 00:00:00+00' and landed_at then told_updated_at
            else landed_at
        end as updated_at
    from (
        select
            p.file_no,
            p.row_no,
            cast({{ row_count }} as bigint) as row_count,
            shop.customer_id(:namespace, p.customer_ref) as customer_id,
            :namespace as namespace,
            p.customer_ref,
            {{ email }} as email,
            {{ phone }} as phone,
            {{ first_name }} as first_name,
            {{ last_name }} as last_name,
            {{ language }} as language,
            {{ country }} as country,
            lower({{ time_zone }}) as time_zone,
            {{ household_ref }} as household_ref,
            cast({{ registered_at }} as timestamptz) as registered_at,
            {{ street }} as street,
            {{ postal_code }} as postal_code,
            {{ city }} as city,
            cast(coalesce({{ updated_at }}, f.starts_at, {{ registered_at }}) as timestamptz) as told_updated_at,
            f.known_at,
            f.not_before,
            f.landed_at,
            f.newest_at
        from (
            {{ mapping }}
            offset 0
        ) as p
        inner join stage_files as f using (file_no)
        offset 0
    ) as told
    offset 0
) as judged
left join (
    select lower(z.name) as lower_name, min(z.name) as name
    from pg_timezone_names as z
    group by lower(z.name)
) as zones on zones.lower_name = judged.time_zone;

-- name: stage_consents
-- Typed consent rows. A withdrawal by a wrong clock is kept: it counts from the landing on. A grant dated after the
-- landing, within the day that a clock may run fast, counts from the start of the day: when it was given is doubtful,
-- and any withdrawal of that day wins.
insert into stage_consents (
    file_no, row_no, row_count, customer_ref, customer_id, purpose, channel, is_granted, basis, origin, text_version,
    updated_at, known_at, own_known_at, rule, told, taken_at
)
select
    file_no,
    row_no,
    row_count,
    customer_ref,
    shop.customer_id(:namespace, customer_ref),
    purpose,
    channel,
    is_granted,
    basis,
    origin,
    text_version,
    updated_at,
    greatest(not_before, own_known_at),
    own_known_at,
    rule,
    case
        when rule = 'key_too_long' then left(purpose, 200)
        when rule is not null then cast(told_updated_at as text)
    end,
    case when rule <> 'key_too_long' and not is_granted then landed_at end
from (
    select
        *,
        case
            when octet_length(purpose) > 1000 then 'key_too_long'
            when is_changed_wrongly then {{ broken_by("told_updated_at", "changed_in_the_future") }}
        end as rule,
        coalesce(known_at, case when is_changed_wrongly then landed_at else {{ midnight_after("updated_at") }} end)
            as own_known_at
    from (
        select
            p.file_no,
            p.row_no,
            cast({{ row_count }} as bigint) as row_count,
            p.customer_ref,
            p.purpose,
            p.channel,
            p.is_granted,
            coalesce({{ basis }}, 'consent') as basis,
            {{ origin }} as origin,
            {{ text_version }} as text_version,
            cast(p.updated_at as timestamptz) as told_updated_at,
            (cast(p.updated_at as timestamptz) between timestamptz '1970-01-01 00:00:00+00' and f.newest_at) is not true
                as is_changed_wrongly,
            case
                when cast(p.updated_at as timestamptz) between timestamptz '1970-01-01 00:00:00+00' and f.landed_at
                    then cast(p.updated_at as timestamptz)
                when p.is_granted then coalesce(f.starts_at, f.landed_at - interval '1 day')
                else f.landed_at
            end as updated_at,
            f.known_at,
            f.not_before,
            f.landed_at,
            f.newest_at
        from (
            {{ mapping }}
            offset 0
        ) as p
        inner join stage_files as f using (file_no)
        offset 0
    ) as told
    offset 0
) as judged;

-- name: stage_list_members
-- Typed rows of who is on which list. A row without a date of its own is of its file's day, or in a history of the
-- instant they left, or came. A history tells only afterwards that somebody came: until then they were on the list with
-- an open end.
with judged as (
    select
        *,
        shop.customer_id(:namespace, customer_ref) as customer_id,
        coalesce(known_at, {{ midnight_after("updated_at") }}) as own_known_at,
        case
            when octet_length(list) > 1000 then 'key_too_long'
            when (since between timestamptz '1970-01-01 00:00:00+00' and newest_at) is not true
                then {{ broken_by("since", "in_the_future") }}
            when until < since then 'until_before_since'
            when is_changed_wrongly then {{ broken_by("told_updated_at", "changed_in_the_future") }}
        end as rule
    from (
        select
            *,
            (told_updated_at between timestamptz '1970-01-01 00:00:00+00' and newest_at) is not true
                as is_changed_wrongly,
            case
                when told_updated_at between timestamptz '1970-01-01 00:00:00+00' and landed_at then told_updated_at
                else landed_at
            end as updated_at
        from (
            select
                *,
                coalesce(written_at, starts_at, case when until <= landed_at then until end, since) as told_updated_at
            from (
                select
                    p.file_no,
                    p.row_no,
                    cast({{ row_count }} as bigint) as row_count,
                    p.customer_ref,
                    p.list,
                    cast(p.since as timestamptz) as since,
                    cast({{ until }} as timestamptz) as until,
                    cast({{ updated_at }} as timestamptz) as written_at,
                    f.starts_at,
                    f.known_at,
                    f.not_before,
                    f.landed_at,
                    f.newest_at
                from (
                    {{ mapping }}
                    offset 0
                ) as p
                inner join stage_files as f using (file_no)
                offset 0
            ) as told
            offset 0
        ) as told
        offset 0
    ) as dated
)

insert into stage_list_members (
    file_no, row_no, row_count, customer_ref, customer_id, list, since, until, updated_at, known_at, own_known_at,
    rule, told
)
select
    file_no,
    row_no,
    row_count,
    customer_ref,
    customer_id,
    list,
    since,
    until,
    updated_at,
    greatest(not_before, own_known_at),
    own_known_at,
    rule,
    case
        when rule = 'key_too_long' then left(list, 200)
        when rule is not null then concat_ws(' ', since, until, written_at)
    end
from judged
union all
select
    file_no,
    row_no,
    0,
    customer_ref,
    customer_id,
    list,
    since,
    null,
    since as updated_at,
    greatest(not_before, {{ midnight_after("since") }}),
    {{ midnight_after("since") }},
    null,
    null
from judged
where rule is null and known_at is null and since < updated_at;

-- name: stage_products
-- Typed product rows. A row without a date of its own is of its file's day, or of the landing.
insert into stage_products (
    file_no, row_no, row_count, source, product_ref, category, name, margin, price, currency, picture_url, url,
    updated_at, known_at, own_known_at, rule, told, taken_at
)
select
    file_no,
    row_no,
    row_count,
    :source,
    product_ref,
    category,
    name,
    case when rule is null then margin end,
    case when rule is null then price end,
    currency,
    picture_url,
    url,
    updated_at,
    greatest(not_before, own_known_at),
    own_known_at,
    rule,
    case
        when rule = 'number_out_of_range' then left(concat_ws(' ', margin, price), 200)
        when rule = 'key_too_long' then left(product_ref, 200)
        when rule = 'not_a_web_address' then left(concat_ws(' ', picture_url, url), 200)
        when rule is not null then cast(told_updated_at as text)
    end,
    null
from (
    select
        *,
        coalesce(known_at, {{ midnight_after("updated_at") }}) as own_known_at,
        case
            when not (margin between 0 and 1) or not (price between 0 and 9999999999) then 'number_out_of_range'
            when octet_length(product_ref) > 1000 then 'key_too_long'
            when not shop.is_web_address(picture_url) or not shop.is_web_address(url) then 'not_a_web_address'
            when is_changed_wrongly then {{ broken_by("told_updated_at", "changed_in_the_future") }}
        end as rule
    from (
        select
            *,
            (told_updated_at between timestamptz '1970-01-01 00:00:00+00' and newest_at) is not true
                as is_changed_wrongly,
            case
                when told_updated_at between timestamptz '1970-01-01 00:00:00+00' and landed_at then told_updated_at
                else landed_at
            end as updated_at
        from (
            select
                p.file_no,
                p.row_no,
                cast({{ row_count }} as bigint) as row_count,
                p.product_ref,
                {{ category }} as category,
                p.name,
                cast({{ margin }} as numeric) as margin,
                cast({{ price }} as numeric) as price,
                coalesce({{ currency }}, :reporting) as currency,
                {{ picture_url }} as picture_url,
                {{ url }} as url,
                cast(coalesce({{ updated_at }}, f.starts_at, f.landed_at) as timestamptz) as told_updated_at,
                f.known_at,
                f.not_before,
                f.landed_at,
                f.newest_at
            from (
                {{ mapping }}
                offset 0
            ) as p
            inner join stage_files as f using (file_no)
            offset 0
        ) as told
        offset 0
    ) as dated
    offset 0
) as judged;
