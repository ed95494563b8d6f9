-- Enrols who may enter on day: members of the selection and of send_base on that day, without an open enrolment, their
-- re-entry time over; the longest lapsed first, at most entry_limit (null is no limit). Returns how many entered, and
-- how many of them in the control arm.
-- The arm is drawn once per customer and kept at re-entry: the first 32 bits of the hash of campaign and household (or
-- customer) below control_bound, so that a greater share only adds. Households are one draw: their members talk.
with candidates as not materialized (
    select member.customer_id
    from selections.membership as member
    inner join selections.membership as base
        on base.customer_id = member.customer_id
            and base.selection = 'send_base'
            and base.entered_on <= :day
            and (base.left_on is null or base.left_on > :day)
    where member.selection = :selection
        and member.entered_on <= :day
        and (member.left_on is null or member.left_on > :day)
        and not exists (
            select from campaigns.enrolments as e
            where e.customer_id = member.customer_id
                and e.campaign = :campaign
                and (
                    e.exited_on is null
                    or cast(:re_entry_never as boolean)
                    or cast(e.entered_on + make_interval(months => :re_entry_months, days => :re_entry_days) as date)
                    > :day
                )
        )
),

entering as (
    select candidates.customer_id
    from candidates
    left join ({{ last_orders }}) as last_orders on last_orders.customer_id = candidates.customer_id
    order by last_orders.last_order_on asc nulls last, candidates.customer_id
    limit cast(:entry_limit as bigint)
),

written as (
    insert into campaigns.enrolments (customer_id, campaign, entry_no, version, arm, entered_on)
    select
        entering.customer_id,
        :campaign,
        coalesce(past.entry_no, 0) + 1,
        :version,
        coalesce(past.arm, case
            when cast(cast('x' || substring(encode(sha256(convert_to(
                :campaign || chr(31)
                || coalesce(c.namespace || chr(31) || c.household_ref, cast(entering.customer_id as text)), 'UTF8'
            )), 'hex') from 1 for 8) as bit(32)) as bigint) < cast(:control_bound as bigint) then 'control'
            else 'treated'
        end),
        :day
    from entering
    left join (
        select customer_id, max(entry_no) as entry_no, min(arm) as arm
        from campaigns.enrolments
        where campaign = :campaign
        group by customer_id
    ) as past on past.customer_id = entering.customer_id
    left join shop.customer_versions as c
        on c.customer_id = entering.customer_id and c.known_at <= :known_by and c.superseded_at > :known_by
    on conflict do nothing
    returning arm
)

select count(*) as enrolled, count(*) filter (where arm = 'control') as control
from written
