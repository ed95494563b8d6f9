-- One row per message decided on: attempting (the worker of :claim now hands it over; with what its template may say, as
-- known at :now), skipped with its reason, planned until a cap lets it go, or unknown where a restored database may
-- have forgotten that it was sent. And in each row where the page of the queue ends that was looked at: whoever asks
-- goes on from there. One row with nothing else: nothing on this page can be decided now. No row: the queue has ended.
-- Each rule is checked again here, with what is known at :now: whatever happened since planning, nothing is sent
-- that must not be. What is outside its window, waits to be tried again or is halted is left planned. While sending
-- :is_blocked only what has expired is decided on. :called_at is what the real clock shows, kept beside :now.
-- A page takes customers, each with all that is due: their messages compete for the caps by the campaign's priority,
-- then by time. Who is not first counts those before it as sent; if they are not, the next batch finds that out. Where
-- :is_alone a page takes no messages but its own: one of them cannot be read, and the others go on without it.
-- Two steps of one enrolment never go out on one local date: the later one waits for the next day's window. To be in an
-- audience is no message to anybody: it waits for none and holds none up.
-- The guard on state carries the promise "claimed once"; the advisory lock taken before only saves waiting.
with page as materialized (
    select
        m.customer_id,
        m.due_at,
        m.message_key
    from delivery.messages as m
    where (m.due_at, m.message_key) > (cast(:after_at as timestamptz), cast(:after_key as text))
        and {% include "delivery/_is_due.sql" %}
        and (m.expires_at <= :now or not cast(:is_blocked as boolean))
    order by m.due_at, m.message_key
    limit :size
),

-- All that is due of the customers of the page, and beside it when they got something, or may have: as far back as a cap
-- or a local date can ask. After now counts too, so that claims at instants out of order exceed no cap either.
theirs as materialized (
    select
        m.*,
        c.email,
        c.phone,
        c.first_name,
        c.last_name,
        c.street,
        c.postal_code,
        c.city,
        c.language,
        c.country,
        c.time_zone
    from (
        select
            m.*,
            s.at is null as is_due,
            array_agg(s.at) filter (where s.at is not null) over w as sent_at,
            array_agg(m.channel) filter (where s.at is not null) over w as sent_channels,
            array_agg(m.campaign) filter (where s.at is not null) over w as sent_campaigns,
            array_agg(m.entry_no) filter (where s.at is not null) over w as sent_entries
        from delivery.messages as m
        cross join lateral (
            select case
                when {% include "delivery/_may_have_gone.sql" %}
                    then least(greatest(s.attempted_at, '0002-01-01'), '9998-01-01') -- no reckoning leaves the calendar
            end as at
            from (select m.channel, m.state, m.attempted_at) as s
        ) as s
        where m.customer_id = any(array(select p.customer_id from page as p))
            and (
                (
                    ({% include "delivery/_is_due.sql" %})
                    and (
                        not cast(:is_alone as boolean)
                        or m.message_key = any(array(select p.message_key from page as p))
                    )
                )
                or s.at > cast(:now as timestamptz) - (
                    select greatest(max(k.hours), 72) * interval '1 hour'
                    from delivery.caps as k
                    where k.in_force_until is null
                )
            )
        window w as (partition by m.customer_id)
    ) as m
    left join shop.customer_versions as c
        on c.customer_id = m.customer_id and c.known_at <= :now and c.superseded_at > :now
    where m.is_due
),

-- One row per place and window: many customers share them.
hours as materialized (
    select
        c.country,
        c.time_zone,
        c.channel,
        c.window_start,
        c.window_end,
        h.zones,
        h.opens,
        cast(h.earliest as date) as today,
        {% include "delivery/_has_no_window.sql" %} as is_never,
        cast(h.earliest as date) = cast(h.latest as date)
        and cast(h.earliest as time) >= h.opens
        and cast(h.latest as time) < h.closes as is_open,
        b.closes_at,
        b.time_zone as told_in
    from (
        select distinct
            t.country,
            t.time_zone,
            t.channel,
            t.window_start,
            t.window_end
        from theirs as t
    ) as c
    cross join lateral (select c.channel, c.window_start, c.window_end) as m
    {% include "delivery/_hours.sql" %}
    cross join lateral (
        select
            min((cast(h.earliest as date) + h.closes) at time zone a.zone) as closes_at,
            -- Of several, the one where it is earliest: an hour named there is over nowhere else before.
            (array_agg(a.zone order by cast(:now as timestamptz) at time zone a.zone, a.zone))[1] as time_zone
        from unnest(h.zones) as a (zone)
    ) as b
),

due as materialized (
    select
        m.customer_id,
        m.message_key,
        m.channel,
        m.due_at,
        coalesce(cast(v.definition ->> 'priority' as integer), 50) as priority,
        m.campaign,
        m.entry_no,
        n.tomorrow,
        greatest(l.free_at, n.tomorrow) as free_at,
        l.room,
        l.room_of_channel,
        g.claim as restore,
        coalesce(
            case
                when g.claim is not null then 'restored'
                when m.expires_at <= :now and m.reason = 'capped' then 'capped'
                when m.expires_at <= :now then 'too_late'
                when {% include "delivery/_is_unreadable.sql" %} then 'unreadable'
                when e.customer_id is null then 'no_enrolment'
                when e.arm <> 'treated' then 'control'
                when e.exit_reason = 'finished' then 'too_late'
                when e.exited_on is not null then e.exit_reason
                when coalesce(v.definition -> 'exit_on' @> cast('["order"]' as jsonb), true) and (
                    {% include "campaigns/_ordered_since_entry.sql" %}
                ) then 'order'
            end,
            {% with channel = "m.channel" %}{% include "campaigns/_not_allowed.sql" %}{% endwith %},
            case
                when a.address = 'email' and coalesce(c.email !~ '^[^][\s<>(),"@]+@[^][\s<>(),"@]+[.][^][\s<>(),"@]+$', true)
                    then 'no_address'
                when a.address = 'phone' and coalesce(c.phone !~ '^[+][1-9][0-9]{6,14}$', true)
                    then 'no_address'
                when a.address = 'email_or_phone'
                    and coalesce(c.email !~ '^[^][\s<>(),"@]+@[^][\s<>(),"@]+[.][^][\s<>(),"@]+$', true)
                    and coalesce(c.phone !~ '^[+][1-9][0-9]{6,14}$', true)
                    then 'no_address'
                when a.address = 'street' and num_nulls(c.street, c.postal_code, c.city, c.country) > 0 then 'no_address'
                when h.is_never then 'no_window'
                when m.offer is not null and coalesce(p.state, 'void') not in ('reserved', 'issued', 'redeemed') then 'coupon_void'
                when p.state = 'redeemed' and {% include "delivery/_is_redeemed.sql" %} then 'coupon_redeemed'
                when p.state in ('issued', 'redeemed') and p.expires_at <= :now then 'coupon_expired'
            end
        ) as reason,
        case a.address when 'email' then c.email when 'phone' then c.phone else '' end as recipient,
        c.email,
        c.phone,
        c.first_name,
        c.last_name,
        c.street,
        c.postal_code,
        c.city,
        c.country,
        c.language,
        h.told_in as time_zone,
        least(m.expires_at, h.closes_at) as send_before,
        p.code as coupon_code,
        p.percent as offer_percent,
        p.expires_at as coupon_expires_at,
        latest.last_order_on
    from theirs as m
    cross join lateral (
        select
            m.customer_id, m.email, m.phone, m.first_name, m.last_name, m.street, m.postal_code, m.city, m.language,
            m.country, m.time_zone
    ) as c
    cross join lateral (select cast(:addresses as jsonb) ->> m.channel as address) as a -- the kind of address it needs
    join hours as h
        on h.country is not distinct from m.country
        and h.time_zone is not distinct from m.time_zone
        and h.channel = m.channel
        and h.window_start = m.window_start
        and h.window_end = m.window_end
    left join campaigns.enrolments as e
        on e.customer_id = m.customer_id and e.campaign = m.campaign and e.entry_no = m.entry_no
    left join campaigns.versions as v on v.campaign = m.campaign and v.version = m.version
    left join campaigns.coupons as p
        on p.customer_id = m.customer_id and p.campaign = m.campaign and p.entry_no = m.entry_no and p.offer = m.offer
    cross join lateral (
        select max(o.ordered_on) as last_order_on
        from shop.order_versions as o
        where o.customer_id = m.customer_id
            and o.status = 'complete'
            and o.known_at <= :now
            and o.superseded_at > :now
    ) as latest
    left join lateral ({% include "delivery/_room.sql" %}) as l on true
    cross join lateral (
        select case
            when m.sent_at is not null and m.channel <> 'audience' then (
                select max((h.today + 1 + h.opens) at time zone w.zone)
                from unnest(h.zones) as w (zone)
                where exists (
                    select from unnest(m.sent_at, m.sent_campaigns, m.sent_entries) as s (at, campaign, entry_no)
                    where s.campaign = m.campaign
                        and s.entry_no = m.entry_no
                        and cast(s.at at time zone w.zone as date) = h.today
                )
            )
        end as tomorrow
    ) as n
    cross join lateral (
        select case
            when exists (select from delivery.restores) then (
                select r.claim
                from delivery.restores as r
                where m.due_at <= r.restored_at
                    and m.expires_at > r.backup_at
                    and m.channel <> 'audience' -- to be put in twice is harmless
                    and cast(:providers as jsonb) ->> m.channel <> 'outbox' -- restored with the ledger, as it was
                    and not exists (
                        select from delivery.decisions as x
                        where x.customer_id = m.customer_id
                            and x.message_key = m.message_key
                            and x.decision = 'again'
                            and x.decided_at >= r.restored_at
                    )
                order by r.restored_at desc
                limit 1
            )
        end as claim
    ) as g
    where m.expires_at <= :now or (not cast(:is_blocked as boolean) and (h.is_never or h.is_open))
),

ranked as materialized (
    select
        d.*,
        case
            when d.reason = 'restored' then 'unknown'
            when d.reason is not null then 'skipped'
            when d.free_at is not null then 'planned'
            else 'attempting'
        end as new_state,
        case
            when d.reason is not null or d.free_at is null then d.reason
            when d.free_at = d.tomorrow then 'same_day'
            else 'capped'
        end as new_reason,
        count(*) filter (where d.reason is null and d.free_at is null and d.channel <> 'audience') over (
            partition by d.customer_id, d.campaign, d.entry_no order by d.due_at, d.message_key
        ) as nth_of_entry,
        count(*) filter (where d.reason is null and d.free_at is null and d.channel <> 'audience') over (
            partition by d.customer_id order by d.priority, d.due_at, d.message_key
        ) as nth,
        count(*) filter (where d.reason is null and d.free_at is null and d.channel <> 'audience') over (
            partition by d.customer_id, d.channel order by d.priority, d.due_at, d.message_key
        ) as nth_of_channel
    from due as d
),

decided as (
    update delivery.messages as m
    set state = d.new_state,
        reason = d.new_reason,
        claim = case d.new_state when 'planned' then null when 'unknown' then d.restore else cast(:claim as uuid) end,
        provider = case
            when d.new_state <> 'attempting' then m.provider
            else cast(:providers as jsonb) ->> m.channel
        end,
        attempts = case d.new_state when 'attempting' then m.attempts + 1 when 'unknown' then greatest(m.attempts, 1)
            else m.attempts end,
        attempted_at = case when d.new_state in ('attempting', 'unknown') then cast(:now as timestamptz)
            else m.attempted_at end,
        called_at = case d.new_state when 'attempting' then cast(:called_at as timestamptz) else m.called_at end,
        settled_at = case when d.new_state in ('skipped', 'unknown') then cast(:now as timestamptz) end,
        retry_at = case when d.new_state = 'planned' then d.free_at end
    from ranked as d
    where d.customer_id = m.customer_id
        and d.message_key = m.message_key
        and m.state = 'planned'
        and (
            d.new_state <> 'attempting'
            or d.channel = 'audience'
            or (d.nth_of_entry = 1 and d.nth <= coalesce(d.room, d.nth) and d.nth_of_channel <= coalesce(d.room_of_channel, d.nth_of_channel))
        )
    returning m.state, m.reason, m.customer_id, m.message_key, m.campaign, m.version, m.entry_no, m.step, m.channel,
        m.offer, m.attempts, d.recipient, d.email, d.phone, d.first_name, d.last_name, d.street, d.postal_code, d.city,
        d.country, d.language, d.time_zone, d.coupon_code, d.offer_percent,
        -- Whoever is not written to may have an instant here that no program can read.
        case when d.new_state = 'attempting' then d.send_before end as send_before,
        case when d.new_state = 'attempting' then d.coupon_expires_at end as coupon_expires_at,
        case when d.new_state = 'attempting' then d.last_order_on end as last_order_on
)

select
    p.page_at,
    p.page_key,
    d.*
from (
    select
        cast(due_at as text) as page_at,
        message_key as page_key
    from page
    order by due_at desc, message_key desc
    limit 1
) as p
left join decided as d on true
