-- What the event `e` says of its message. Whatever is reported with our key was accepted, at the least.
{% macro state_reported(e) -%}
    case
        when {{ e }}.kind in ('dropped', 'failed', 'canceled') then 'refused'
        when {{ e }}.kind in ('bounce', 'undelivered') then 'bounced'
        when {{ e }}.kind in (
            'delivered', 'read', 'open', 'click', 'spamreport', 'unsubscribe', 'group_unsubscribe', 'group_resubscribe'
        ) then 'delivered'
        else 'accepted'
    end
{%- endmacro %}

-- Why the event `e` says that its message did not arrive, or was not sent; null if it says nothing like it.
{% macro reason_reported(e) -%}
    case
        when {{ e }}.kind = 'dropped' then 'dropped' || coalesce(': ' || {{ e }}.detail, '')
        when {{ e }}.kind = 'canceled' then 'cancelled'
        when {{ e }}.kind = 'failed' and {{ e }}.detail = '21610' then 'opted_out'
        when {{ e }}.kind = 'failed' and {{ e }}.detail in ('21211', '21614', '21635', '30005', '30006')
            then 'invalid_number'
        when {{ e }}.kind = 'failed' then 'provider_refused' || coalesce(': ' || {{ e }}.detail, '')
        when {{ e }}.kind = 'bounce' and {{ e }}.detail = 'blocked' then 'blocked'
        when {{ e }}.kind = 'bounce' then 'hard_bounce'
        when {{ e }}.kind = 'undelivered' then 'undelivered' || coalesce(': ' || {{ e }}.detail, '')
    end
{%- endmacro %}

-- True while what a campaign sends on a channel, both expressions, may go out: nothing halts it, and the campaign is
-- not paused for want of a file. Read as halts and pauses stand now.
{% macro is_open(campaign, channel) -%}
    not exists (select from campaigns.paused as x where x.campaign = {{ campaign }})
    and not exists (
        select from delivery.halts as h
        where h.kind = 'all'
            or (h.kind = 'campaign' and h.name = {{ campaign }})
            or (h.kind = 'channel' and h.name = {{ channel }})
    )
{%- endmacro %}

-- True while a message is due at :now, neither halted nor waiting to be tried again; whether it is in its window is
-- another question.
{% macro is_due(m) -%}
    {{ m }}.state = 'planned'
    and {{ m }}.due_at <= :now
    and (cast(:campaign as text) is null or {{ m }}.campaign = :campaign)
    and {{ m }}.channel = any(cast(:channels as text[]))
    and ({{ m }}.expires_at <= :now or {{ m }}.retry_at is null or {{ m }}.retry_at <= :now)
    and {{ is_open(m ~ ".campaign", m ~ ".channel") }}
{%- endmacro %}

-- True of a due message that stands after a place in the queue; while nothing may be sent, of one that has expired.
{% macro is_ahead(m) -%}
    ({{ m }}.due_at, {{ m }}.message_key) > (cast(:after_at as timestamptz), cast(:after_key as text))
    and {{ is_due(m) }}
    and ({{ m }}.expires_at <= :now or not cast(:is_blocked as boolean))
{%- endmacro %}

-- The caps of :caps, a JSON list, one row each.
{% macro given_caps() -%}
    (
        select given.*
        from
            jsonb_to_recordset(cast(:caps as jsonb)) as given (
                channel text, at_most integer, hours integer, selection text, members_on date, is_current boolean
            )
    )
{%- endmacro %}
