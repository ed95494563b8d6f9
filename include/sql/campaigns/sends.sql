{% from "campaigns/macros.sql" import earlier_entries, enter, has_followed, is_candidate %}
{% from "campaigns/macros.sql" import is_open_on_day, language_shown, must_wait %}
{% from "contact/macros.sql" import is_known, is_on_list, why_not_contactable %}

-- name: keep_send
-- Keeps what was asked for. One row, unless it was asked for before.
insert into campaigns.sends (send_id, campaign, version, day, send_on, asked, frozen_at, expires_at)
values (:send_id, :campaign, :version, :day, :send_on, cast(:asked as jsonb), :now, :expires_at)
on conflict (send_id) do nothing
returning send_id;

-- name: expired_sends
-- How many sends of this id, or of it and a number, nobody answered in time.
select count(*)
from campaigns.sends as s
where (s.send_id = :send_id or s.send_id like :send_id || '-_')
    and (s.state = 'expired' or (s.state = 'waiting' and s.expires_at <= :now));

-- name: freeze
-- One row per member of the campaign's selection: whether it is sent to them, or why not. That is whoever may enter, is
-- inside the bounds on both sides, and of the countries and languages asked for; at most :at_most of them, the longest
-- lapsed first.
insert into campaigns.send_members (customer_id, send_id, reason)
select
    f.customer_id,
    :send_id,
    case
        when f.reason is null and f.place > cast(:at_most as bigint) then 'over_limit'
        else f.reason
    end
from (
    select
        a.customer_id,
        a.reason,
        row_number() over (partition by a.reason is null order by a.since nulls last, a.customer_id) as place
    from (
        select
            member.customer_id,
            s.since,
            case
                when s.since > :day - cast(:at_least_days as integer) then 'too_recent'
                when s.since < :day - cast(:at_most_days as integer) or s.since is null then 'too_long_ago'
                when cardinality(cast(:countries as text[])) > 0
                    and (c.country = any(cast(:countries as text[]))) is not true
                    then 'other_country'
                when cardinality(cast(:languages as text[])) > 0
                    and (c.language = any(cast(:languages as text[]))) is not true
                    then 'other_language'
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
                            when past.is_inside then 'inside'
                            when past.is_in_group then 'in_group'
                            when not {{ has_followed("member.customer_id") }} then 'not_followed'
                            when past.must_wait then 're_entry'
                            when {{ is_candidate("member.customer_id") }} then 'approval'
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
        cross join
            lateral (
                select
                    case cast(:bounded_by as text)
                        when 'registration'
                            then cast(c.registered_at at time zone cast(:shop_zone as text) as date)
                        else (
                            select max(o.ordered_on)
                            from shop.order_versions as o
                            where o.customer_id = member.customer_id and o.status = 'complete' and {{ is_known("o") }}
                        )
                    end as since
            ) as s
        cross join
            lateral (
                select
                    bool_or(e.campaign = :campaign and e.exited_on is null) as is_inside,
                    bool_or(e.group_name = :group_name and e.campaign <> :campaign and {{ is_open_on_day("e") }})
                        as is_in_group,
                    bool_or(e.campaign = :campaign and {{ must_wait("e") }}) as must_wait
                from campaigns.enrolments as e
                where e.customer_id = member.customer_id and (e.campaign = :campaign or e.group_name = :group_name)
            ) as past
        where member.selection = :selection
            and member.entered_on <= :day
            and (member.left_on is null or member.left_on > :day)
    ) as a
) as f
on conflict (customer_id, send_id) do nothing;

-- name: send
-- The send of this id, if there is one.
select s.send_id, s.campaign, s.version, s.day, s.send_on, s.asked, s.state, s.expires_at, s.decided_by
from campaigns.sends as s
where s.send_id = :send_id;

-- name: send_counts
-- One row per reason, none for those it is sent to, and language: how many customers.
select m.reason, {{ language_shown("c") }} as language, count(*) as customers
from campaigns.send_members as m
left join shop.customers as c on c.customer_id = m.customer_id
where m.send_id = :send_id
group by m.reason, {{ language_shown("c") }}
order by customers desc, m.reason, language;

-- name: decide_send
-- One row if the send waited for this answer.
update campaigns.sends as s
set state = :state, decided_at = :now, decided_by = :decided_by
where s.send_id = :send_id and s.state = 'waiting'
returning s.send_id;

-- name: enrol_send
-- Enrols everybody for whom the send was frozen, but for those who have entered the campaign or its group since, by
-- another send too.
-- Returns how many entered, and how many of them in the control arm.
with entering as (
    select
        m.customer_id,
        {{ earlier_entries("m") }}
    from campaigns.send_members as m
    where m.send_id = :send_id
        and m.reason is null
        and not exists (
            select from campaigns.enrolments as e
            where e.customer_id = m.customer_id
                and e.exited_on is null
                and (e.campaign = :campaign or e.group_name = :group_name)
        )
        and not exists (
            select from campaigns.enrolments as e
            where e.customer_id = m.customer_id
                and e.campaign = :campaign
                and (e.entered_on >= :day or {{ must_wait("e") }})
        )
),

{{ enter("entering", "cast(:send_id as text)", "cast(:days_later as integer)") }};
