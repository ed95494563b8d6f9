{% from "contact/macros.sql" import contactable, is_known, is_on_list %}

-- Over the enrolment e, as known at as_of.

-- True of an enrolment that an order ends. That is an order not cancelled, placed on a day after the entry, or one that
-- became known only after the entry: under a later number than the entry has, or, for a day that was done late, after
-- the midnight (in :shop_zone) that ended the day of entry. A complete order is known from its first complete version.
-- The exit of a day and the claim of a message both ask it, so that no message follows an order we know of. category,
-- an expression: only orders with a product of it.
{% macro has_ordered_since_entry(e, as_of=":known_by", category=none) -%}
    exists (
        select from shop.order_versions as o
        where o.customer_id = {{ e }}.customer_id
            and o.status <> 'cancelled'
            and {{ is_known("o", as_of) }}
            and {{ "true" if category is none else has_product_of("o", category, as_of) }}
            and (
                o.ordered_on > {{ e }}.entered_on
                or exists (
                    select from shop.orders as present
                    where present.customer_id = o.customer_id
                        and present.source = o.source
                        and present.order_ref = o.order_ref
                        and present.change_no > {{ e }}.entered_change
                )
                or not exists (
                    select from shop.order_versions as earlier
                    where earlier.customer_id = o.customer_id
                        and earlier.source = o.source
                        and earlier.order_ref = o.order_ref
                        and earlier.known_at <= cast({{ e }}.entered_on + 1 as timestamp) at time zone :shop_zone
                        and (earlier.status = 'complete' or o.status <> 'complete')
                )
            )
    )
{%- endmacro %}

-- True of an order o with a product of a category, as its line or the feed of products has it.
{% macro has_product_of(o, category, as_of) -%}
    exists (
        select from shop.order_lines as line
        left join shop.product_versions as product
            on product.source = line.source
            and product.product_ref = line.product_ref
            and {{ is_known("product", as_of) }}
        where line.customer_id = {{ o }}.customer_id
            and line.source = {{ o }}.source
            and line.order_ref = {{ o }}.order_ref
            and {{ category }} in (line.category, product.category)
    )
{%- endmacro %}

-- True of an enrolment that an order ends, as its campaign says in exit_on, a JSON list: any, or one of a category.
{% macro is_ended_by_order(e, exit_on, as_of=":known_by") -%}
    (
        (coalesce({{ exit_on }} @> cast('["order"]' as jsonb), true) and {{ has_ordered_since_entry(e, as_of) }})
        or exists (
            select from jsonb_array_elements({{ exit_on }}) as ending (what)
            where ending.what ->> 'order_of' is not null
                and {{ has_ordered_since_entry(e, as_of, "ending.what ->> 'order_of'") }}
        )
    )
{%- endmacro %}

-- True of an enrolment whose customer has unsubscribed from e-mail or from everything, by link, by a text that says
-- STOP, or by a complaint.
{% macro has_unsubscribed(e, as_of=":known_by") -%}
    exists (
        select from shop.suppressions as s
        where s.customer_id = {{ e }}.customer_id
            and s.channel in ('email', 'all')
            and s.reason in ('unsubscribed', 'stopped', 'complaint')
            and s.known_at <= {{ as_of }}
            and (s.lifted_at is null or s.lifted_at > {{ as_of }})
    )
{%- endmacro %}

-- Why an enrolment ends on :day, as far as its version, by :exit_on, exits on that: order, unsubscribe, left_selection,
-- joined_selection; null while it goes on.
{% macro why_ended(e) -%}
    case
        when {{ is_ended_by_order(e, "cast(:exit_on as jsonb)") }} then 'order'
        when cast(:exit_on as jsonb) @> cast('["unsubscribe"]' as jsonb) and {{ has_unsubscribed(e) }} then 'unsubscribe'
        when cast(:exit_on as jsonb) @> cast('["left_selection"]' as jsonb)
            and not {{ is_member(e, ":selection") }}
            then 'left_selection'
        when exists (
            select from jsonb_array_elements(cast(:exit_on as jsonb)) as ending (what)
            join selections.membership as joined
                on joined.customer_id = {{ e }}.customer_id
                and joined.selection = ending.what ->> 'joined'
                and joined.entered_on > {{ e }}.entered_on
                and joined.entered_on <= :day
        ) then 'joined_selection'
    end
{%- endmacro %}

-- The number from 0 to 2^32 - 1 that a household, or a customer without one, draws in :campaign, by its first name: the
-- same at every entry. Without a salt it decides the arm, with another salt each time a variant.
{% macro number_drawn(household, customer_id, salt="") -%}
    cast(cast('x' || substring(encode(sha256(convert_to(
        {{ salt ~ " || chr(31) || " if salt }}
        coalesce((select f.first_name from campaigns.first_names as f where f.campaign = :campaign), :campaign)
        || chr(31) || coalesce({{ household }}, cast({{ customer_id }} as text)), 'UTF8'
    )), 'hex') from 1 for 8) as bit(32)) as bigint)
{%- endmacro %}

-- The name that a number draws: each has the numbers below its bound that no name before it has.
{% macro name_drawn(number, names, bounds) -%}
    (
        select share.name
        from
            unnest(cast({{ names }} as text[]), cast({{ bounds }} as bigint[])) as share (name, bound)
        where {{ number }} < share.bound
        order by share.bound
        limit 1
    )
{%- endmacro %}

-- Why a step is not sent to the customer c of the enrolment e: the first of its conditions, rules of the version, that
-- is not met; null where all are. As known at as_of, in the clause and the words of the campaign's file. Planning asks
-- it as a forecast, the claim for good.
{% macro condition_not_met(conditions, e, c, as_of=":known_by") -%}
    case
        when {{ conditions }} is not null then (
            select concat_ws(' ', 'condition:', asked.clause, asked.what, asked.name)
            from jsonb_to_recordset({{ conditions }}) as asked (clause text, what text, name text)
            where (asked.clause = 'only_if') is distinct from
                case asked.what
                    when 'clicked' then exists (
                        select from delivery.messages as seen
                        where seen.customer_id = {{ e }}.customer_id
                            and seen.campaign = {{ e }}.campaign
                            and seen.entry_no = {{ e }}.entry_no
                            and (asked.name is null or seen.step = asked.name)
                            and seen.human_clicked_at <= {{ as_of }}
                    )
                    when 'ordered' then {{ has_ordered_since_entry(e, as_of) }}
                    when 'has_coupon' then exists (
                        select from offers.coupons as given
                        where given.customer_id = {{ e }}.customer_id
                            and given.campaign = {{ e }}.campaign
                            and given.entry_no = {{ e }}.entry_no
                            and (asked.name is null or given.offer = asked.name)
                            and given.state = 'issued'
                            and given.expires_at > {{ as_of }}
                    )
                    when 'in' then {{ is_member(e, "asked.name", as_of) }}
                    when 'not_in' then not {{ is_member(e, "asked.name", as_of) }}
                    when 'reachable' then {{ contactable(c, "asked.name", as_of) }}
                end
            limit 1
        )
    end
{%- endmacro %}

-- True of a customer in a selection, as it was on the last day that had ended by as_of.
{% macro is_member(e, selection, as_of=":known_by") -%}
    {{ is_member_on(e, selection, "cast(cast(" ~ as_of ~ " as timestamptz) at time zone :shop_zone as date) - 1") }}
{%- endmacro %}

-- True of a customer in a selection on a day.
{% macro is_member_on(e, selection, day) -%}
    exists (
        select from selections.membership as membership
        where membership.customer_id = {{ e }}.customer_id
            and membership.selection = {{ selection }}
            and membership.entered_on <= {{ day }}
            and coalesce(membership.left_on > {{ day }}, true)
    )
{%- endmacro %}

-- True of a customer c who may enter on :day: anybody, or, where the campaign enrols by anniversary, who registered on
-- that day of an earlier year, in :shop_zone. The anniversary of a 29 February is 28 February in other years.
{% macro is_entry_day(c) -%}
    (
        not cast(:by_anniversary as boolean)
        or exists (
            select from (select cast({{ c }}.registered_at at time zone :shop_zone as date) as day) as registered
            cross join
                lateral (
                    select
                        cast(
                            extract(year from cast(:day as date)) - extract(year from registered.day) as integer
                        ) as years
                ) as since
            where since.years > 0
                and cast(registered.day + make_interval(years => since.years) as date) = :day
        )
    )
{%- endmacro %}

-- True of an enrolment after which the same customer may not enter the campaign on :day: never again, the re-entry time
-- is not over, or it belongs to the same occurrence of a calendar. One by hand takes the place of the occurrence after
-- it too.
{% macro must_wait(e) -%}
    (
        cast(:re_entry_never as boolean)
        or cast({{ e }}.entered_on + make_interval(months => :re_entry_months, days => :re_entry_days) as date) > :day
        or coalesce(
            {{ e }}.entered_on
            >= case
                when {{ e }}.send_id is null then cast(:occurrence as date) else cast(:occurrence_before as date)
            end,
            false
        )
    )
{%- endmacro %}

-- True of a customer whose last enrolment in the campaign :follows ended with its last step, after they last entered
-- :campaign; of everybody where it follows none.
{% macro has_followed(customer_id) -%}
    (
        cast(:follows as text) is null
        or coalesce((
            select
                first.exit_reason = 'finished'
                and first.exited_on > coalesce((
                    select max(own.entered_on)
                    from campaigns.enrolments as own
                    where own.customer_id = first.customer_id and own.campaign = :campaign
                ), '-infinity')
            from campaigns.enrolments as first
            where first.customer_id = {{ customer_id }} and first.campaign = :follows
            order by first.entry_no desc
            limit 1
        ), false)
    )
{%- endmacro %}

-- The names of the steps that lie behind an enrolment when :day is enrolled: they were planned on an earlier day.
-- steps: those of a version, as JSON.
{% macro steps_behind(e, steps) -%}
    array(
        select s.step
        from
            jsonb_to_recordset(cast({{ steps }} as jsonb)) as s (step text, day integer, variants jsonb, levels jsonb)
        where {{ e }}.entered_on + {{ e }}.days_later + s.day < :day
            and coalesce(nullif(s.variants, 'null') @> to_jsonb({{ e }}.variant), true)
            and coalesce(nullif(s.levels, 'null') @> to_jsonb({{ e }}.level), true)
        order by s.step
    )
{%- endmacro %}

-- True of the variant or level of an enrolment, if it is one of the names that a version has. None is one of none.
{% macro is_one_of(name, names) -%}
    case
        when {{ name }} is null then cardinality(cast({{ names }} as text[])) = 0
        else {{ name }} = any(cast({{ names }} as text[]))
    end
{%- endmacro %}

-- True of an enrolment that was open when :day began. What ends on :day frees the customer for the other campaigns of
-- the group the next day, whichever campaign does its day first.
{% macro is_open_on_day(e) -%}
    coalesce({{ e }}.exited_on >= :day, true)
{%- endmacro %}

-- The level of :levels that a customer c is on at the end of :day: the first of which all that it says holds.
{% macro level_of(c) -%}
    (
        select asked.name
        from
            jsonb_to_recordset(cast(:levels as jsonb)) as asked (
                place integer, name text, "in" text, languages jsonb, countries jsonb
            )
        where (asked.in is null or {{ is_member(c, "asked.in") }})
            and coalesce(asked.languages @> to_jsonb({{ c }}.language), asked.languages is null)
            and coalesce(asked.countries @> to_jsonb({{ c }}.country), asked.countries is null)
        order by asked.place
        limit 1
    )
{%- endmacro %}

-- The language of a customer for people to read: a code of two letters, and nothing else that a file has in its place.
{% macro language_shown(c) -%}
    case when {{ c }}.language ~ '^[a-z]{2}$' then {{ c }}.language end
{%- endmacro %}

-- True of a customer who waits for approval with an enrolment in :campaign or in another campaign of the group.
{% macro is_candidate(customer_id) -%}
    exists (
        select from campaigns.candidates as waiting
        where waiting.customer_id = {{ customer_id }}
            and (waiting.campaign = :campaign or waiting.group_name = :group_name)
    )
{%- endmacro %}

-- The CTE `entering`, of customers who may enter on :day, with `earlier_entries`: members of the selection, by
-- anniversary those whose day it is, who may be contacted on the channel of the first step, in every variant, for
-- e-mail members of send_base too, without an open enrolment in the campaign or its group, not waiting for approval
-- there, at the end of the campaign that it follows, their re-entry time over, on one of the lists, if it names any; at
-- most :entry_limit (null is no limit), in order of rank.
-- What is looked up per candidate is a subquery, so that the cost stays in proportion whatever the planner believes.
{% macro entrants(rank) -%}
    candidates as not materialized (
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
            and not {{ is_candidate("member.customer_id") }}
            and {{ has_followed("member.customer_id") }}
    ),

    entering as (
        select
            candidates.customer_id,
            {{ earlier_entries("candidates") }}
        from candidates
        order by ({{ rank }}) * cast(:direction as integer) nulls last, candidates.customer_id
        limit cast(:entry_limit as bigint)
    )
{%- endmacro %}

-- Columns of what a customer was in the campaign before, last_entry_no, arm and variant, of their household and their
-- level. who: the alias of a row with customer_id.
{% macro earlier_entries(who) -%}
    (
        select max(e.entry_no)
        from campaigns.enrolments as e
        where e.customer_id = {{ who }}.customer_id and e.campaign = :campaign
    ) as last_entry_no,
    (
        select min(e.arm)
        from campaigns.enrolments as e
        where e.customer_id = {{ who }}.customer_id and e.campaign = :campaign
    ) as arm,
    (
        select (array_agg(e.variant order by e.entry_no desc))[1]
        from campaigns.enrolments as e
        where e.customer_id = {{ who }}.customer_id
            and e.campaign = :campaign
            and e.variant = any(cast(:variants as text[]))
    ) as variant,
    (
        select c.namespace || chr(31) || c.household_ref
        from shop.customer_versions as c
        where c.customer_id = {{ who }}.customer_id and {{ is_known("c") }}
    ) as household,
    (
        select {{ level_of("c") }}
        from shop.customer_versions as c
        where c.customer_id = {{ who }}.customer_id and {{ is_known("c") }}
    ) as level
{%- endmacro %}

-- The rest of a statement whose `entering` has customers with `earlier_entries`: draws their arms and variants, enrols
-- them, and returns how many entered, and how many of them in the control arm.
{% macro enter(entering, send_id="null", days_later="0") -%}
    drawn as (
        select
            customer_id,
            coalesce(last_entry_no, 0) + 1 as entry_no,
            coalesce(
                arm,
                case
                    when {{ number_drawn("household", "customer_id") }} < cast(:control_bound as bigint) then 'control'
                    else 'treated'
                end
            ) as arm,
            coalesce(
                variant,
                {{ name_drawn(number_drawn("household", "customer_id", "'variant'"), ":variants", ":variant_bounds") }}
            ) as variant,
            shop.customer_id(split_part(household, chr(31), 1), split_part(household, chr(31), 2)) as unit,
            level
        from {{ entering }}
    ),

    written as (
        insert into campaigns.enrolments (
            customer_id, campaign, entry_no, version, arm, variant, level, group_name, unit, entered_on, entered_change,
            send_id, days_later
        )
        select
            customer_id,
            :campaign,
            entry_no,
            :version,
            arm,
            case when arm = 'treated' then variant end,
            level,
            :group_name,
            unit,
            :day,
            :entered_change,
            {{ send_id }},
            {{ days_later }}
        from drawn
        on conflict do nothing
        returning arm
    )

    select count(*) as enrolled, count(*) filter (where arm = 'control') as control
    from written
{%- endmacro %}
