-- One row per verdict on a selection that was computed anew: how many customers entered, left or are in it as recorded for
-- the day, and the references of ten of them.
select
    d.verdict,
    count(*) as customers,
    array_agg(d.customer_ref order by d.customer_ref) filter (where d.place <= 10) as sample
from (
    select
        c.customer_ref,
        v.verdict,
        row_number() over (partition by v.verdict order by c.customer_ref) as place
    from (
        select
            coalesce(w.customer_id, m.customer_id) as customer_id,
            case
                when w.customer_id is null then 'left'
                when m.customer_id is null then 'entered'
                else 'same'
            end as verdict
        from {{ computed }} as w
        full join (
            select b.customer_id
            from selections.membership as b
            where b.selection = :selection and b.entered_on <= :day and (b.left_on is null or b.left_on > :day)
        ) as m on m.customer_id = w.customer_id
    ) as v
    left join shop.customers as c on c.customer_id = v.customer_id
) as d
group by d.verdict
