-- Enrols customers who may enter on day: members of the selection, by anniversary those whose day it is, who may be
-- contacted on the channel of the first step, in every variant, for e-mail members of send_base too, without an open
-- enrolment in the campaign or its group, at the end of the campaign that it follows, their re-entry time over, on
-- one of the lists, if it names any; at most entry_limit (null is no limit), in order of rank. Returns how many
-- entered, and how many of them in the control arm.
-- The arm is drawn once per customer and kept at re-entry: the first 32 bits of the hash of campaign (by its first
-- name, if it was renamed) and household (or customer) below control_bound, so that a greater share only adds.
-- Households are one draw: their members talk. A variant is drawn alike, by another hash, for treated customers.
-- What is looked up per candidate is a subquery, so that the cost stays in proportion whatever the planner believes.
{% from "campaigns/macros.sql" import earlier_entries, enter, has_followed, is_entry_day, is_open_on_day %}
{% from "campaigns/macros.sql" import must_wait %}
{% from "contact/macros.sql" import contactable, is_known, is_on_list %}
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
                and {{ is_entry_day("c") }}
                and {{ is_on_list("c.customer_id", "cast(:lists as jsonb)") }}
                and not exists (
                    select from unnest(cast(:channels as text[])) as first (channel)
                    where not {{ contactable("c", "first.channel") }}
                )
        )
        and (
            not 'email' = any(cast(:channels as text[]))
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
                and (
                    (e.campaign = :campaign and (e.exited_on is null or {{ must_wait("e") }}))
                    or (e.group_name = :group_name and {{ is_open_on_day("e") }})
                )
        )
        and {{ has_followed("member.customer_id") }}
),

entering as (
    select
        candidates.customer_id,
        {{ earlier_entries("candidates") }}
    from candidates
    order by ({{ rank }}) * cast(:direction as integer) nulls last, candidates.customer_id
    limit cast(:entry_limit as bigint)
),

{{ enter("entering") }}
