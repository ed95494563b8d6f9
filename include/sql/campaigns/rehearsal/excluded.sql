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
where a.decision <> 'enrolled'
    and a.customer_id in (
        select m.customer_id
        from selections.membership as m
        where m.selection = :selection
            and m.entered_on <= :day
            and (m.left_on is null or m.left_on > :day)
    )
group by a.reason
order by a.reason
