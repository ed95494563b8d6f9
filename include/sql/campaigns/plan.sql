-- Plans one step of one version: a message for each open treated enrolment whose day for it is day, or one after
-- done_until that was never published. Customers who cannot be contacted get the row too, skipped with the reason. A
-- message that is there and still planned, never attempted, is decided again; any other stays as it is: its key refuses
-- a second. One row per reason (none means planned), whether the messages are new, and what the conditions of the step
-- forecast: how many. Conditions decide in the claim, not here. Who cannot be contacted on the channel of the step is
-- planned on its fallback, if it has one and that can be used.
-- Due at the window's start on the customer's local date after the step's day, or so many hours after the midnight that
-- begins it, expired grace_days local dates after
-- that, at the window's end; dates on which the campaign sends nothing do not count. The window is cut with the hours
-- of the law; a customer whose zone nobody knows is inside it only while all zones of their country are, in the shop's
-- zone if there is no country either.
{% from "campaigns/macros.sql" import condition_not_met, name_drawn, number_drawn %}
{% from "contact/macros.sql" import is_known, is_on_list, join_legal_hours, places, send_day %}
{% from "contact/macros.sql" import why_not_contactable, zones %}
with written as (
    insert into delivery.messages as m (
        customer_id, message_key, campaign, version, entry_no, step, channel, variant, day, state, reason, forecast,
        offer, due_at, expires_at, window_start, window_end, settled_at
    )
    select
        due.customer_id,
        substring(encode(sha256(convert_to(concat_ws(
            chr(31), due.customer_id, due.campaign, due.entry_no, cast(:step as text)
        ), 'UTF8')), 'hex') from 1 for 32),
        due.campaign,
        due.version,
        due.entry_no,
        :step,
        due.channel,
        due.variant,
        :day,
        case when due.reason is null then 'planned' else 'skipped' end,
        due.reason,
        due.forecast,
        due.offer,
        due.due_at,
        greatest(due.expires_at, due.due_at + interval '1 minute'), -- of one without a window, the only length it has
        cast(:window_start as time),
        cast(:window_end as time),
        case when due.reason is not null then cast(:known_by as timestamptz) end
    from (
        select
            e.customer_id,
            e.campaign,
            e.version,
            e.entry_no,
            w.due_at,
            w.expires_at,
            way.channel,
            {{
                name_drawn(
                    number_drawn("cast(e.unit as text)", "e.customer_id", "cast(:step as text)"),
                    ":variants", ":variant_bounds"
                )
            }} as variant,
            its.offer,
            {{ condition_not_met("cast(:conditions as jsonb)", "e", "c") }} as forecast,
            coalesce(
                way.reason,
                case
                    when not {{ is_on_list("e.customer_id", "cast(:lists as jsonb)") }} then 'not_on_list'
                    when w.due_at >= w.closes_at then 'no_window'
                    when its.offer = any(cast(:too_dear as text[])) then 'margin_floor'
                end
            ) as reason
        from campaigns.enrolments as e
        left join shop.customer_versions as c on c.customer_id = e.customer_id and {{ is_known("c") }}
        left join {{ places() }} as place on place.country = c.country
        cross join
            lateral (
                select
                    max(cast(a.arrives_at at time zone a.zone as date)) as arrives_on,
                    max(a.arrives_at) as arrives_at
                from (
                    select
                        p.zone,
                        cast(e.entered_on + e.days_later + cast(:step_day as integer) + 1 as timestamp)
                        at time zone p.zone
                        + cast(:step_hours as integer) * interval '1 hour' as arrives_at
                    from unnest({{ zones("c", "place") }}) as p (zone)
                ) as a
            ) as s
        -- The first channel that can be used; where none can, the first.
        cross join
            lateral (
                select u.channel, u.reason
                from (
                    select way.channel, way.place, {{ why_not_contactable("c", "way.channel") }} as reason
                    from unnest(cast(:channels as text[])) with ordinality as way (channel, place)
                ) as u
                order by u.reason is not null, u.place
                limit 1
            ) as way
        cross join
            lateral (
                select
                    coalesce(
                        cast(:offers as jsonb) ->> e.variant,
                        cast(:offers as jsonb) ->> e.level,
                        cast(:offers as jsonb) ->> ''
                    ) as offer
            ) as its
        cross join
            lateral (
                select case way.channel when 'audience' then null else cast(:no_send_on as jsonb) end as no_send_on
            ) as n
        {{ join_legal_hours("law", "c", "way.channel", "s.arrives_on") }}
        -- The date on which it is due: the next one for what arrives after the window.
        cross join
            lateral (
                select s.arrives_on + cast(bool_or(s.arrives_at at time zone p.zone >= x.closes) as integer) as its_date
                from unnest({{ zones("c", "place") }}) as p (zone)
                cross join lateral (select s.arrives_on + least(cast(:window_end as time), law.latest) as closes) as x
            ) as t
        cross join
            lateral (
                select
                    {{ send_day("c", "t.its_date", "0", "n.no_send_on") }} as local_date,
                    {{ send_day("c", "t.its_date", "cast(:grace_days as integer)", "n.no_send_on") }} as last_date
            ) as d
        cross join
            lateral (
                select
                    greatest(
                        s.arrives_at,
                        max((d.local_date + greatest(cast(:window_start as time), law.earliest)) at time zone p.zone)
                    ) as due_at,
                    min((d.local_date + least(cast(:window_end as time), law.latest)) at time zone p.zone) as closes_at,
                    min((d.last_date + least(cast(:window_end as time), law.latest)) at time zone p.zone) as expires_at
                from unnest({{ zones("c", "place") }}) as p (zone)
            ) as w
        where e.campaign = :campaign
            and e.version = :version
            and e.arm = 'treated'
            and e.exited_on is null
            and (cast(:only_variants as text[]) is null or e.variant = any(cast(:only_variants as text[])))
            and (cast(:only_levels as text[]) is null or e.level = any(cast(:only_levels as text[])))
            and (cast(:send_id as text) is null or e.send_id = :send_id)
            and (cast(:approved_on as date) is null or (e.entered_on = :approved_on and e.send_id is null))
            and e.entered_on + e.days_later <= :day - cast(:plan_day as integer)
            and e.entered_on + e.days_later
            > coalesce(cast(:done_until as date), '-infinity') - cast(:plan_day as integer)
    ) as due
    on conflict (customer_id, campaign, entry_no, step) do update
        set state = excluded.state,
            channel = excluded.channel,
            forecast = excluded.forecast,
            reason = case when excluded.state = 'skipped' then excluded.reason else m.reason end,
            due_at = excluded.due_at,
            expires_at = excluded.expires_at,
            settled_at = excluded.settled_at
        where m.state = 'planned'
        and m.attempts = 0
        and (m.state, m.channel, m.forecast, m.due_at, m.expires_at)
        is distinct from
        (excluded.state, excluded.channel, excluded.forecast, excluded.due_at, excluded.expires_at)
    returning
        case when m.state = 'skipped' then m.reason end as reason,
        case when m.state = 'planned' then m.forecast end as forecast,
        (xmax = 0) as is_new
)

select reason, forecast, is_new, count(*) as messages
from written
group by reason, forecast, is_new
order by reason, forecast, is_new
