{% from "core/macros.sql" import verdicts_with_samples %}

-- name: rehearsal_difference
-- One row per verdict: how many customers entered with the day that was rehearsed, left with it or are inside as
-- before, and the references of ten of them.
{% set verdicts %}
    select
        e.customer_id,
        case
            when b.customer_id is null then 'entered'
            when e.exited_on is not null then 'left'
            else 'same'
        end as verdict
    from campaigns.enrolments as e
    left join rehearsal_before as b on b.customer_id = e.customer_id and b.entry_no = e.entry_no
    where e.campaign = :campaign and coalesce(b.was_open, true)
{% endset %}
{{ verdicts_with_samples(verdicts) }};

-- name: excluded
-- One row per reason: how many members of the selection on :day it keeps from entering, by the newest answer each got.
select
    a.reason,
    count(*) as customers
from (
    select distinct on (customer_id) customer_id, decision, reason
    from campaigns.decisions
    where campaign = :campaign and decided_on <= :day
    order by customer_id, decided_on desc
) as a
where a.decision not in ('enrolled', 'moved')
    and a.customer_id in (
        select m.customer_id
        from selections.membership as m
        where m.selection = :selection
            and m.entered_on <= :day
            and (m.left_on is null or m.left_on > :day)
    )
group by a.reason
order by a.reason;

-- name: keep_before
-- The entries of the campaign before a rehearsal, and whether each was open.
create temporary table rehearsal_before on commit drop as
select e.customer_id, e.entry_no, e.exited_on is null as was_open
from campaigns.enrolments as e
where e.campaign = :campaign;
