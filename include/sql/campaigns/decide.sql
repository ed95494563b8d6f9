-- Writes why each member of the selection was enrolled on day or not, where that differs from what was written last.
-- Who is inside the campaign already needs no answer. Runs after enrol.sql.
insert into campaigns.decisions (customer_id, campaign, decided_on, decision, reason)
select answer.customer_id, :campaign, :day, answer.decision, answer.reason
from (
    select
        member.customer_id,
        case
            when e.entered_on = :day then 'enrolled'
            when base.customer_id is null or e.is_barred then 'refused'
            else 'waits'
        end as decision,
        case
            when e.entered_on = :day and e.arm = 'control' then 'control'
            when e.entered_on = :day then 'selected'
            when base.customer_id is null then 'not_in_send_base'
            when e.is_barred or e.must_wait then 're_entry'
            else 'entry_limit'
        end as reason
    from selections.membership as member
    left join selections.membership as base
        on base.customer_id = member.customer_id
            and base.selection = 'send_base'
            and base.entered_on <= :day
            and (base.left_on is null or base.left_on > :day)
    left join (
        select
            customer_id,
            max(entered_on) as entered_on,
            min(arm) as arm,
            bool_or(exited_on is null) as is_open,
            bool_or(cast(:re_entry_never as boolean)) as is_barred,
            bool_or(
                cast(entered_on + make_interval(months => :re_entry_months, days => :re_entry_days) as date) > :day
            ) as must_wait
        from campaigns.enrolments
        where campaign = :campaign
        group by customer_id
    ) as e on e.customer_id = member.customer_id
    where member.selection = :selection
        and member.entered_on <= :day
        and (member.left_on is null or member.left_on > :day)
        and (e.customer_id is null or not e.is_open or e.entered_on = :day)
) as answer
left join (
    select distinct on (customer_id) customer_id, decision, reason
    from campaigns.decisions
    where campaign = :campaign
    order by customer_id, decided_on desc
) as last on last.customer_id = answer.customer_id
where answer.decision = 'enrolled'
    or last.customer_id is null
    or last.decision <> answer.decision
    or last.reason <> answer.reason
on conflict (customer_id, campaign, decided_on) do nothing
