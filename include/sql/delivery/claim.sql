-- One row per message decided on: attempting (the worker of :claim now hands it over; with what its template may say,
-- as known at :now), skipped with its reason, planned until a cap lets it go, or unknown where a restored database
-- may have forgotten that it was sent. And in each row where the page of the queue ends that was looked at: whoever
-- asks goes on from there. One row with nothing else: nothing on this page can be decided now. No row: the queue has
-- ended. Each rule is checked again here, with what is known at :now: whatever happened since planning, nothing is
-- sent that must not be. What is outside its window, waits to be tried again or is halted is left planned. While
-- sending :is_blocked only what has expired is decided on. :called_at is what the real clock shows, kept beside :now.
-- A page takes customers, each with all that is due: their messages compete for the caps by the campaign's priority,
-- then by time. A message that is not first counts those before it as sent; if they are not, the next batch finds
-- that out. Where :is_alone a page takes no messages but its own: one of them cannot be read, and the others go on
-- without it. A message whose channel cannot be used any more is planned on its fallback, and decided on as that.
-- Two steps of one enrolment never go out on one local date: the later one waits for the next day's window. On a date
-- on which the campaign sends nothing, every message waits. To be in an audience is no message to anybody: it waits for
-- none and holds none up. The guard on state carries the promise "claimed once"; the advisory lock taken before only
-- saves waiting.
{% from "contact/macros.sql" import is_known, join_legal_hours, places, recipient, zones %}
{% from "delivery/macros.sql" import fallback, last_order_on, may_be_lost, may_have_gone, next_local_day %}
{% from "delivery/macros.sql" import next_send_day, reach, room, why_not_sent %}
{% from "ledger/macros.sql" import is_ahead, is_due %}
with page as materialized (
    select m.customer_id, m.due_at, m.message_key
    from delivery.messages as m
    where {{ is_ahead("m") }}
    order by m.due_at, m.message_key
    limit :size
),

-- All that is due of the customers of the page.
due as materialized (
    select m.*, c.country, c.time_zone
    from delivery.messages as m
    left join shop.customer_versions as c on c.customer_id = m.customer_id and {{ is_known("c", ":now") }}
    where m.customer_id = any(array(select p.customer_id from page as p))
        and {{ is_due("m") }}
        and (not cast(:is_alone as boolean) or m.message_key = any(array(select p.message_key from page as p)))
),

-- What they got, or may have, as far back as a cap or a local date can ask. After now counts too, so that claims at
-- instants out of order exceed no cap either.
got as materialized (
    select
        m.customer_id,
        array_agg(m.at) as at,
        array_agg(m.channel) as channels,
        array_agg(m.campaign) as campaigns,
        array_agg(m.entry_no) as entries
    from (
        select
            m.customer_id,
            m.channel,
            m.campaign,
            m.entry_no,
            least(greatest(m.attempted_at, '0002-01-01'), '9998-01-01') as at -- no reckoning leaves the calendar
        from delivery.messages as m
        where m.customer_id = any(array(select p.customer_id from page as p)) and {{ may_have_gone("m") }}
    ) as m
    where m.at > cast(:now as timestamptz) - {{ reach() }}
    group by m.customer_id
),

-- One row per place and window: many customers share them. told_in: of several zones the one where it is earliest: an
-- hour named there is over nowhere else before.
hours as materialized (
    select
        w.*,
        i.zones,
        cast(t.earliest as date) as today,
        h.opens,
        t.told_in,
        (
            select min((cast(t.earliest as date) + h.closes) at time zone a.zone)
            from unnest(i.zones) as a (zone)
        ) as closes_at,
        t.latest - t.earliest >= h.closes - h.opens as is_never,
        cast(t.earliest as date) = cast(t.latest as date)
        and cast(t.earliest as time) >= h.opens
        and cast(t.latest as time) < h.closes as is_open
    from (select distinct d.country, d.time_zone, d.channel, d.window_start, d.window_end from due as d) as w
    left join {{ places() }} as place on place.country = w.country
    cross join lateral (select {{ zones("w", "place") }} as zones) as i
    cross join
        lateral (
            select
                min(l.local_time) as earliest,
                max(l.local_time) as latest,
                (array_agg(a.zone order by l.local_time, a.zone))[1] as told_in
            from unnest(i.zones) as a (zone)
            cross join lateral (select cast(:now as timestamptz) at time zone a.zone as local_time) as l
        ) as t
    {{ join_legal_hours("law", "w", "w.channel", "cast(t.earliest as date)") }}
    cross join
        lateral (
            select greatest(w.window_start, law.earliest) as opens, least(w.window_end, law.latest) as closes
        ) as h
),

-- What is to be decided on now: why it is not sent, unless there is a fallback, or from when there is room for it. Some
-- answers are asked for more than once: without `limit 1` each would be planned, and worked out, as often.
judged as materialized (
    select
        m.customer_id,
        m.message_key,
        m.channel,
        m.campaign,
        m.entry_no,
        m.due_at,
        m.day,
        coalesce(cast(v.definition ->> 'priority' as integer), 50) as priority,
        r.claim as restore,
        w.reason,
        instead.channel as fallback,
        n.next_day,
        n.next_send_day,
        greatest(l.free_at, n.next_day, n.next_send_day) as free_at,
        l.room,
        l.room_of_channel,
        h.told_in,
        least(m.expires_at, h.closes_at, p.expires_at) as send_before
    from due as m
    join hours as h
        on h.country is not distinct from m.country
        and h.time_zone is not distinct from m.time_zone
        and h.channel = m.channel
        and h.window_start = m.window_start
        and h.window_end = m.window_end
    left join shop.customer_versions as c on c.customer_id = m.customer_id and {{ is_known("c", ":now") }}
    left join campaigns.enrolments as e
        on e.customer_id = m.customer_id and e.campaign = m.campaign and e.entry_no = m.entry_no
    left join campaigns.versions as v on v.campaign = m.campaign and v.version = m.version
    left join offers.coupons as p
        on p.customer_id = m.customer_id and p.campaign = m.campaign and p.entry_no = m.entry_no and p.offer = m.offer
    left join got on got.customer_id = m.customer_id
    left join lateral {{ room("m", "got") }} as l on true
    cross join
        lateral (
            select
                {{ next_local_day("m", "h", "got") }} as next_day,
                {{ next_send_day("m", "h", "v", "c") }} as next_send_day
            limit 1
        ) as n
    left join
        lateral (
            select r.claim
            from delivery.restores as r
            where {{ may_be_lost("m", "r") }}
                and cast(:providers as jsonb) ->> m.channel <> 'outbox' -- restored with the ledger, as it was
            order by r.restored_at desc
            limit 1
        ) as r
        on true
    cross join
        lateral (
            select
                case
                    when r.claim is not null then 'restored'
                    else {{ why_not_sent("m", "e", "v", "p", "c", "h.is_never") }}
                end as reason
            limit 1
        ) as w
    cross join lateral (select {{ fallback("m", "v", "c", "w.reason") }} as channel) as instead
    where m.expires_at <= :now or (not cast(:is_blocked as boolean) and (h.is_never or h.is_open))
),

ranked as materialized (
    select
        d.*,
        case
            when d.reason = 'restored' then 'unknown'
            when d.fallback is not null then 'planned'
            when d.reason is not null then 'skipped'
            when d.free_at is not null then 'planned'
            else 'attempting'
        end as new_state,
        coalesce(
            case when d.fallback is not null then 'fallback' end,
            d.reason,
            case
                when d.free_at = d.next_send_day then 'no_send_day'
                when d.free_at = d.next_day then 'same_day'
                when d.free_at is not null then 'capped'
            end
        ) as new_reason,
        not d.competes
        or (
            count(*) filter (where d.competes) over of_entry = 1
            and coalesce(count(*) filter (where d.competes) over of_customer <= d.room, true)
            and coalesce(count(*) filter (where d.competes) over of_channel <= d.room_of_channel, true)
        ) as is_decided
    from (
        select
            j.*,
            j.reason is null and j.free_at is null and j.channel <> 'audience' as competes
        from judged as j
    ) as d
    window
        of_entry as (partition by d.customer_id, d.campaign, d.entry_no order by d.due_at, d.day, d.message_key),
        of_customer as (partition by d.customer_id order by d.priority, d.due_at, d.day, d.message_key),
        of_channel as (partition by d.customer_id, d.channel order by d.priority, d.due_at, d.day, d.message_key)
),

decided as (
    update delivery.messages as m
    set
        state = d.new_state,
        reason = d.new_reason,
        channel = coalesce(d.fallback, m.channel),
        claim = case d.new_state when 'planned' then null when 'unknown' then d.restore else cast(:claim as uuid) end,
        provider = case
            when d.new_state = 'attempting' then cast(:providers as jsonb) ->> m.channel
            else m.provider
        end,
        attempts = case d.new_state
            when 'attempting' then m.attempts + 1
            when 'unknown' then greatest(m.attempts, 1)
            else m.attempts
        end,
        attempted_at = case
            when d.new_state in ('attempting', 'unknown') then cast(:now as timestamptz)
            else m.attempted_at
        end,
        called_at = case d.new_state when 'attempting' then cast(:called_at as timestamptz) else m.called_at end,
        settled_at = case when d.new_state in ('skipped', 'unknown') then cast(:now as timestamptz) end,
        retry_at = case when d.new_state = 'planned' and d.fallback is null then d.free_at end
    from ranked as d
    where d.customer_id = m.customer_id and d.message_key = m.message_key and m.state = 'planned' and d.is_decided
    returning
        m.state, m.reason, m.customer_id, m.message_key, m.campaign, m.version, m.entry_no, m.step, m.channel,
        m.variant, m.offer, m.attempts, d.told_in, d.send_before
)

-- Of a message that is not handed over nothing is told but what became of it: it may have values that no program can
-- read.
select
    p.page_at,
    p.page_key,
    d.state,
    d.reason,
    d.customer_id,
    d.message_key,
    d.campaign,
    d.version,
    d.entry_no,
    d.step,
    d.channel,
    d.variant,
    entry.variant as campaign_variant,
    entry.level,
    d.offer,
    d.attempts,
    {{ recipient("c", "d.channel") }} as recipient,
    case when c.email_ok then c.email end as email,
    case when c.phone_ok then c.phone end as phone,
    c.first_name,
    c.last_name,
    c.street,
    c.postal_code,
    c.city,
    c.country,
    c.language,
    d.told_in as time_zone,
    case when d.state = 'attempting' then d.send_before end as send_before,
    coupon.code as coupon_code,
    coupon.percent as offer_percent,
    coupon.terms as offer_terms,
    coupon.expires_at as coupon_expires_at,
    case when d.state = 'attempting' then {{ last_order_on("d.customer_id") }} end as last_order_on
from (
    select cast(due_at as text) as page_at, message_key as page_key
    from page
    order by due_at desc, message_key desc
    limit 1
) as p
left join decided as d on true
left join shop.customer_versions as c
    on d.state = 'attempting' and c.customer_id = d.customer_id and {{ is_known("c", ":now") }}
left join campaigns.enrolments as entry
    on d.state = 'attempting'
    and entry.customer_id = d.customer_id
    and entry.campaign = d.campaign
    and entry.entry_no = d.entry_no
left join offers.coupons as coupon
    on d.state = 'attempting'
    and coupon.customer_id = d.customer_id
    and coupon.campaign = d.campaign
    and coupon.entry_no = d.entry_no
    and coupon.offer = d.offer
