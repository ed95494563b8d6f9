{% from "core/macros.sql" import verdicts_with_samples %}

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
-- One row per verdict on a selection that was computed anew: how many customers entered, left or are in it as recorded
-- for the day, and the references of ten of them.
{% set verdicts %}
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
{% endset %}
{{ verdicts_with_samples(verdicts) }};

-- name: keep_to_parent
-- Takes those out who are not in the parent; how many they are.
with outside as (
    delete from {{ members }} as t
    where not exists (select from {{ parent }} as p where p.customer_id = t.customer_id)
    returning t.customer_id
)
select count(*) from outside;
