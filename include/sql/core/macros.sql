-- What a rehearsal shows: one row per verdict (entered, left or same) of `verdicts`, a query of customer_id and
-- verdict; how many customers, and the references of ten of them.
{% macro verdicts_with_samples(verdicts) -%}
    select
        d.verdict,
        count(*) as customers,
        array_agg(d.customer_ref order by d.customer_ref) filter (where d.place <= 10) as sample
    from (
        select
            c.customer_ref,
            v.verdict,
            row_number() over (partition by v.verdict order by c.customer_ref) as place
        from ({{ verdicts }}) as v
        left join shop.customers as c on c.customer_id = v.customer_id
    ) as d
    group by d.verdict
{%- endmacro %}
