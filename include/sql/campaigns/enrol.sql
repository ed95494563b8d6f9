-- Enrols customers who may enter on day: members of the selection who may be contacted on the channel of the first
-- step, for e-mail members of send_base too, without an open enrolment, their re-entry time over; the longest
-- lapsed first, at most entry_limit (null is no limit). Returns how many entered, and how many of them in the control
-- arm.
-- The arm is drawn once per customer and kept at re-entry: the first 32 bits of the hash of campaign (by its first
-- name, if it was renamed) and household (or customer) below control_bound, so that a greater share only adds.
-- Households are one draw: their members talk. What is looked up per candidate is a subquery, so that the cost stays in
-- proportion whatever the planner believes.
{% from "campaigns/macros.sql" import number_drawn %}
{% from "contact/macros.sql" import contactable, is_known %}
with candidates as not materialized (
    select member.customer_id
    from selections.membership as member
    where member.selection = :selection
        and member.entered_on <= :day
        and (member.left_on is null or member.left_on > :day)
        and exists (
            select from shop.customer_versions as c
            where c.customer_id = member.customer_id
                and {{ is_known("c") }}
                and {{ contactable("c", "cast(:channel as text)") }}
        )
        and (
            :channel <> 'email'
            or exists (
                select from selections.membership as base
                where base.customer_id = member.customer_id
                    and base.selection = 'send_base'
                    and base.entered_on <= :day
                    and (base.left_on is null or base.left_on > :day)
            )
        )
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
    select
        candidates.customer_id,
        ({{ last_order }}) as last_order_on,
        (
            select max(e.entry_no)
            from campaigns.enrolments as e
            where e.customer_id = candidates.customer_id and e.campaign = :campaign
        ) as last_entry_no,
        (
            select min(e.arm)
            from campaigns.enrolments as e
            where e.customer_id = candidates.customer_id and e.campaign = :campaign
        ) as arm,
        (
            select c.namespace || chr(31) || c.household_ref
            from shop.customer_versions as c
            where c.customer_id = candidates.customer_id and {{ is_known("c") }}
        ) as household
    from candidates
    order by last_order_on asc nulls last, candidates.customer_id
    limit cast(:entry_limit as bigint)
),

written as (
    insert into campaigns.enrolments (customer_id, campaign, entry_no, version, arm, entered_on, entered_change)
    select
        customer_id,
        :campaign,
        coalesce(last_entry_no, 0) + 1,
        :version,
        coalesce(
            arm,
            case
                when {{ number_drawn("household", "customer_id") }} < cast(:control_bound as bigint) then 'control'
                else 'treated'
            end
        ),
        :day,
        :entered_change
    from entering
    on conflict do nothing
    returning arm
)

select count(*) as enrolled, count(*) filter (where arm = 'control') as control
from written
