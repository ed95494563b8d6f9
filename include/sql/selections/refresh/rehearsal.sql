-- name: assume
-- Of a rehearsal, which is undone: the selection holds those computed from :day on.
insert into selections.membership (selection, customer_id, entered_on)
select :selection, w.customer_id, :day
from {{ computed }} as w;

-- name: assume_nobody
-- Of a rehearsal, which is undone: the selection never held anybody.
delete from selections.membership as m
where m.selection = :selection;

-- name: difference
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
group by d.verdict;

-- name: keep_to_parent
-- Takes those out who are not in the parent; how many they are.
with outside as (
    delete from {{ members }} as t
    where not exists (select from {{ parent }} as p where p.customer_id = t.customer_id)
    returning t.customer_id
)
select count(*) from outside;
