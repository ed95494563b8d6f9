-- Typed order lines.
insert into stage_order_lines
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
            when (abs(quantity) < 99999999999 and abs(unit_price) < 9999999999
                and abs(coalesce(line_no, 0)) < 2147483647) is not true then 'number_out_of_range'
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
) as judged
