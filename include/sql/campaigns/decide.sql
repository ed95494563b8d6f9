-- Writes why each member of the selection was enrolled on day or not, where that differs from what was written last.
-- Where an offer of the campaign :is_too_dear, nobody entered.
-- Customers inside the campaign already need no answer, nor do, by anniversary, those whose day it is not. Runs after
-- enrol.sql. The last answers are joined, not looked up one by one: a look-up would go through a table that grows while
-- this statement fills it.
{% from "campaigns/macros.sql" import has_followed, is_candidate, is_entry_day, is_open_on_day %}
{% from "campaigns/macros.sql" import must_wait %}
{% from "contact/macros.sql" import is_known, is_on_list, why_not_contactable %}
insert into campaigns.decisions (customer_id, campaign, decided_on, decision, reason)
select
    answer.customer_id,
    :campaign,
    :day,
    answer.decision,
    answer.reason
from (
    select
        a.customer_id,
        a.reason,
        case
            when a.reason in ('selected', 'control') then 'enrolled'
            when a.reason in ('approval', 'entry_limit', 'margin_floor', 'in_group', 'not_followed') then 'waits'
            when a.reason = 're_entry' and not cast(:re_entry_never as boolean) then 'waits'
            else 'refused'
        end as decision
    from (
        select
            member.customer_id,
            case
                when past.entered_on = :day and past.arm = 'control' then 'control'
                when past.entered_on = :day then 'selected'
                else
                    coalesce(
                        (
                            select {{ why_not_contactable("c", "first.channel") }} as reason
                            from unnest(cast(:channels as text[])) as first (channel)
                            order by reason nulls last
                            limit 1
                        ),
                        case
                            when 'email' = any(cast(:channels as text[])) and base.customer_id is null
                                then 'not_in_send_base'
                            when not {{ is_on_list("member.customer_id", "cast(:lists as jsonb)") }} then 'not_on_list'
                            when past.is_in_group then 'in_group'
                            when not {{ has_followed("member.customer_id") }} then 'not_followed'
                            when past.must_wait then 're_entry'
                            when cast(:is_held as boolean) or own.customer_id is not null then 'approval'
                            when {{ is_candidate("member.customer_id") }} then 'in_group'
                            when cast(:is_too_dear as boolean) then 'margin_floor'
                            else 'entry_limit'
                        end
                    )
            end as reason
        from selections.membership as member
        left join shop.customer_versions as c on c.customer_id = member.customer_id and {{ is_known("c") }}
        left join selections.membership as base
            on base.customer_id = member.customer_id
            and base.selection = 'send_base'
            and base.entered_on <= :day
            and (base.left_on is null or base.left_on > :day)
        left join campaigns.candidates as own
            on own.customer_id = member.customer_id and own.campaign = :campaign
        cross join
            lateral (
                select
                    max(e.entered_on) filter (where e.campaign = :campaign) as entered_on,
                    min(e.arm) filter (where e.campaign = :campaign) as arm,
                    bool_or(e.exited_on is null) filter (where e.campaign = :campaign) as is_open,
                    bool_or(e.group_name = :group_name and e.campaign <> :campaign and {{ is_open_on_day("e") }})
                        as is_in_group,
                    bool_or({{ must_wait("e") }}) filter (where e.campaign = :campaign) as must_wait
                from campaigns.enrolments as e
                where e.customer_id = member.customer_id and (e.campaign = :campaign or e.group_name = :group_name)
            ) as past
        where member.selection = :selection
            and member.entered_on <= :day
            and (member.left_on is null or member.left_on > :day)
            and {{ is_entry_day("c") }}
            and (past.entered_on is null or not past.is_open or past.entered_on = :day)
    ) as a
) as answer
left join (
    select distinct on (customer_id) customer_id, decision, reason
    from campaigns.decisions
    where campaign = :campaign
    order by customer_id, decided_on desc
) as last on last.customer_id = answer.customer_id
where answer.decision = 'enrolled'
    or last.customer_id is null
    or last.reason <> answer.reason
    or (last.decision = 'refused') <> (answer.decision = 'refused')
on conflict (customer_id, campaign, decided_on) do update
    set decision = excluded.decision, reason = excluded.reason
