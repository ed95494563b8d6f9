{% from "campaigns/macros.sql" import condition_not_met, has_ordered_since_entry, is_ended_by_order, is_member_on %}
{% from "contact/macros.sql" import contactable, is_known, is_on_list, is_spared, send_day, why_not_contactable %}

-- Why a message is not sent, and what limits how many are: for the claim, and for everybody who explains it.
-- m: the alias of a message; e: its enrolment; v: its version; p: its coupon; c: its customer; all as known at now.

-- True of a day or an instant that every program can read and reckon with, whatever the zone; of none at all too.
{% macro is_readable(value) -%}
    coalesce({{ value }} >= '0002-01-01' and {{ value }} < '9999-01-01', true)
{%- endmacro %}

-- The day of the last complete order of a customer.
{% macro last_order_on(customer_id) -%}
    (
        select max(purchase.ordered_on)
        from shop.order_versions as purchase
        where purchase.customer_id = {{ customer_id }}
            and purchase.status = 'complete'
            and {{ is_known("purchase", ":now") }}
    )
{%- endmacro %}

-- True of a message with a value that cannot be turned into text: an instant that no program reads, no version, an
-- offer without an end, a coupon of no percentage.
{% macro is_unreadable(m, v, p) -%}
    not {{ is_readable(last_order_on(m ~ ".customer_id")) }}
    or not {{ is_readable(p ~ ".expires_at") }}
    or not {{ is_readable(m ~ ".due_at") }}
    or not {{ is_readable(m ~ ".expires_at") }}
    or {{ v }}.version is null
    or ({{ m }}.offer is not null and {{ v }}.definition #>> array['offers', {{ m }}.offer, 'valid_for'] is null)
    or coalesce({{ p }}.percent = 'NaN', false)
{%- endmacro %}

-- Why the offer of a message can no longer be taken: coupon_void, coupon_redeemed, coupon_expired; null where it can.
{% macro why_not_offered(m, p) -%}
    case
        when {{ m }}.offer is not null and coalesce({{ p }}.state, 'void') not in ('reserved', 'issued', 'redeemed')
            then 'coupon_void'
        when {{ p }}.state = 'redeemed' and exists (
            select from offers.redemptions as redemption
            where redemption.customer_id = {{ p }}.customer_id
                and redemption.code = {{ p }}.code
                and redemption.outcome = 'redeemed'
                and redemption.known_at <= :now
        ) then 'coupon_redeemed'
        when {{ p }}.state in ('issued', 'redeemed') and {{ p }}.expires_at <= :now then 'coupon_expired'
    end
{%- endmacro %}

-- Why a message will not be sent, whenever there is room for it; null where it will. is_never: a predicate, whether no
-- time of day is inside its window.
{% macro why_not_sent(m, e, v, p, c, is_never) -%}
    coalesce(
        case
            when {{ m }}.expires_at <= :now and {{ m }}.reason = 'capped' then 'capped'
            when {{ m }}.expires_at <= :now then 'too_late'
            when {{ is_unreadable(m, v, p) }} then 'unreadable'
            when {{ e }}.customer_id is null then 'no_enrolment'
            when {{ e }}.arm <> 'treated' then 'control'
            when {{ e }}.exit_reason = 'finished' then 'too_late'
            when {{ e }}.exited_on is not null then {{ e }}.exit_reason
            when {{ is_ended_by_order(e, v ~ ".definition -> 'exit_on'") }} then 'order'
        end,
        {{ why_not_contactable(c, m ~ ".channel", ":now") }},
        case when not {{ is_on_list(m ~ ".customer_id", v ~ ".definition -> 'lists'", ":now") }} then 'not_on_list' end,
        {{ condition_not_met(v ~ ".rules #> array[" ~ m ~ ".step, 'conditions']", e, c, ":now") }},
        case when {{ is_never }} then 'no_window' end,
        {{ why_not_offered(m, p) }}
    )
{%- endmacro %}

-- The channel on which a message goes instead of its own, once that cannot be used for the reason given: the fallback
-- of its step, before anything was tried; null where there is none, or it cannot be used either.
{% macro fallback(m, v, c, reason) -%}
    case
        when {{ reason }} in ('suppressed', 'no_consent', 'no_address')
            and {{ m }}.attempts = 0
            and {{ m }}.channel <> {{ v }}.rules #>> array[{{ m }}.step, 'fallback']
            and {{ contactable(c, v ~ ".rules #>> array[" ~ m ~ ".step, 'fallback']", ":now") }}
            then {{ v }}.rules #>> array[{{ m }}.step, 'fallback']
    end
{%- endmacro %}

-- True of a planned message that may have been sent all the same, between a backup and its restore r. Nobody sends it
-- again by itself, unless a person has decided so since. To be put into an audience twice is harmless.
{% macro may_be_lost(m, r) -%}
    {{ m }}.due_at <= {{ r }}.restored_at
    and {{ m }}.expires_at > {{ r }}.backup_at
    and {{ m }}.channel <> 'audience'
    and not exists (
        select from delivery.decisions as decision
        where decision.customer_id = {{ m }}.customer_id
            and decision.message_key = {{ m }}.message_key
            and decision.decision = 'again'
            and decision.decided_at >= {{ r }}.restored_at
    )
{%- endmacro %}

-- The next four ask what the customer got: a row got of arrays, one entry a message, or nulls where that is nothing.

-- True of a message that the customer got, or may have got: it counts for the caps. Nobody gets an audience.
{% macro may_have_gone(m) -%}
    {{ m }}.channel <> 'audience' and {{ m }}.state in ('attempting', 'accepted', 'delivered', 'bounced', 'unknown')
{%- endmacro %}

-- How far back a cap or a local date can ask.
{% macro reach() -%}
    (select greatest(max(cap.hours), 72) * interval '1 hour' from delivery.caps as cap where {{ is_in_force("cap") }})
{%- endmacro %}

-- When a message can go at the earliest whose customer got another step of the enrolment on their local day: when the
-- window opens on the next one. Null: they did not, or it is no message to anybody. h: the hours where they may be.
{% macro next_local_day(m, h, got) -%}
    case
        when {{ got }}.at is not null and {{ m }}.channel <> 'audience' then (
            select max(({{ h }}.today + 1 + {{ h }}.opens) at time zone here.zone)
            from unnest({{ h }}.zones) as here (zone)
            where exists (
                select from unnest({{ got }}.at, {{ got }}.campaigns, {{ got }}.entries) as one (at, campaign, entry_no)
                where one.campaign = {{ m }}.campaign
                    and one.entry_no = {{ m }}.entry_no
                    and cast(one.at at time zone here.zone as date) = {{ h }}.today
            )
        )
    end
{%- endmacro %}

-- When a message can go at the earliest on whose local date its campaign sends nothing: when the window opens on the
-- next date on which it does. Null: it may go out today, or it is no message to anybody.
{% macro next_send_day(m, h, v, c) -%}
    case
        when {{ m }}.channel <> 'audience'
            and {{ is_spared(c, h ~ ".today", v ~ ".definition -> 'no_send_on'") }}
            then (
                select max((day.next + {{ h }}.opens) at time zone here.zone)
                from (select {{ send_day(c, h ~ ".today", "0", v ~ ".definition -> 'no_send_on'") }} as next) as day
                cross join unnest({{ h }}.zones) as here (zone)
            )
    end
{%- endmacro %}

-- True of a cap now, or at an instant.
{% macro is_in_force(cap, at=none) -%}
    {% if at %}tstzrange({{ cap }}.in_force_from, {{ cap }}.in_force_until) @> {{ at }}
    {%- else %}{{ cap }}.in_force_until is null
    {%- endif %}
{%- endmacro %}

-- True of a cap in force that holds for the customer of a message: one of a selection for its members; one for
-- everybody unless one of a selection takes its place, on the same channel and in as many hours.
{% macro holds_for(cap, m, at=none) -%}
    case
        when {{ cap }}.selection <> '' then {{ is_member_on(m, cap ~ ".selection", cap ~ ".members_on") }}
        else not exists (
            select from delivery.caps as own
            where own.channel = {{ cap }}.channel
                and own.hours = {{ cap }}.hours
                and own.selection <> ''
                and own.is_current
                and {{ is_in_force("own", at) }}
                and {{ is_member_on(m, "own.selection", "own.members_on") }}
        )
    end
{%- endmacro %}

-- A table of one row: how many more messages the caps allow the customer of a message now, over all channels (room) and
-- on its own (room_of_channel); and, where that is none, the instant from which there is room (free_at). Null: no cap.
{% macro room(m, got) -%}
    (
        select
            max(f.free_at) as free_at,
            min(cap.at_most - f.used) filter (where cap.channel = 'all') as room,
            min(cap.at_most - f.used) filter (where cap.channel <> 'all') as room_of_channel
        from delivery.caps as cap
        cross join
            lateral (
                select
                    case when {{ got }}.at is null then 0 else cardinality(counted.at) end as used,
                    case
                        when {{ got }}.at is not null then counted.at[cap.at_most] + cap.hours * interval '1 hour'
                    end as free_at
                from (
                    select array(
                        select one.at
                        from unnest({{ got }}.at, {{ got }}.channels) as one (at, channel)
                        where cap.channel in (one.channel, 'all')
                            and one.at > cast(:now as timestamptz) - cap.hours * interval '1 hour'
                        order by one.at desc
                    ) as at
                ) as counted
            ) as f
        where {{ is_in_force("cap") }}
            and cap.channel in ({{ m }}.channel, 'all')
            and {{ m }}.channel <> 'audience'
            and {{ holds_for("cap", m) }}
    )
{%- endmacro %}

-- Each message that was handed over, or may have been, and went_at, when: what the real clock showed where a provider
-- was called, the instant that was played where the outbox or a file has it. Not those a restore made unknown: what
-- stands there is when the restore was, not when they went out.
{% macro went_out() -%}
    select
        w.*,
        case
            when w.provider in ('outbox', 'files') then w.attempted_at else coalesce(w.called_at, w.attempted_at)
        end as went_at
    from delivery.messages as w
    where w.state in ('attempting', 'accepted', 'delivered', 'bounced', 'unknown')
        and not exists (select from delivery.restores as r where r.claim = w.claim)
{%- endmacro %}

-- Why a member a of an audience belongs in it no longer, as known at :known_by; null while they do. e: the enrolment
-- that put them in; c: the customer.
{% macro why_not_in_audience(a, e, c) -%}
    case
        when {{ e }}.customer_id is null then 'no_enrolment'
        when {{ e }}.arm <> 'treated' then 'control'
        when {{ e }}.exit_reason <> 'finished'
            and {{ e }}.exited_on < cast(cast(:known_by as timestamptz) at time zone cast(:shop_zone as text) as date)
            then {{ e }}.exit_reason
        when {{ has_ordered_since_entry(e) }} then 'order'
        when {{ a }}.until_on < cast(cast(:known_by as timestamptz) at time zone cast(:shop_zone as text) as date)
            then 'until_over'
        else {{ why_not_contactable(c, "'audience'") }}
    end
{%- endmacro %}

-- Exports x as the program knows them.
{% macro exports() -%}
    select
        x.campaign,
        coalesce(
            (select f.first_name from campaigns.first_names as f where f.campaign = x.campaign), x.campaign
        ) as known_as,
        x.step,
        x.number,
        x.channel,
        x.day,
        x.exported_at,
        x.added,
        x.removed,
        x.written_at
    from delivery.exports as x
{%- endmacro %}
