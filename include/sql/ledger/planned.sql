{% from "contact/macros.sql" import is_known, join_legal_hours, places, zones %}
{% from "ledger/macros.sql" import is_open %}

-- name: skip_left_over
-- Skips the planned messages of enrolments that ended on day, with the reason they ended for; of those that just came
-- to their end, what is still planned has expired. One row per reason: how many.
with written as (
    update delivery.messages as m
    set
        state = 'skipped',
        reason = case
            when e.exit_reason = 'finished' and m.reason = 'capped' then 'capped'
            when e.exit_reason = 'finished' then 'too_late'
            else e.exit_reason
        end,
        settled_at = :known_by
    from campaigns.enrolments as e
    where e.customer_id = m.customer_id
        and e.campaign = m.campaign
        and e.entry_no = m.entry_no
        and e.campaign = :campaign
        and e.exited_on = :day
        and m.state = 'planned'
    returning m.reason
)

select reason, count(*) as messages
from written
group by reason
order by reason;

-- name: take_back
-- Skips all planned messages of a campaign that was removed. Returns how many.
with written as (
    update delivery.messages as m
    set state = 'skipped', reason = 'campaign_removed', settled_at = :known_by, retry_at = null
    where m.campaign = :campaign and m.state = 'planned'
    returning m.customer_id
)

select count(*) from written;

-- name: skip_erased
-- One row per message of the customer that was still planned.
update delivery.messages as m
set state = 'skipped', reason = 'erased', settled_at = :now, retry_at = null
where m.customer_id = :customer_id and m.state = 'planned'
returning m.customer_id, m.campaign, m.entry_no, m.offer, m.state;

-- name: due_channels
-- One row per channel with a message that could be claimed at :now: those channels need their provider.
select distinct m.channel
from delivery.messages as m
where m.state = 'planned'
    and m.due_at <= :now
    and (cast(:campaign as text) is null or m.campaign = :campaign)
    and {{ is_open("m.campaign", "m.channel") }};

-- name: next_instant
-- The first instant in [:from, :until), after :after, at which a planned message can be decided on: the first moment
-- of its window that it is due, or its expiry. Each message has an instant of its own, whatever the others do, so
-- playing a day in one go or in two halves gives the same. A window is open while it is in all zones where the customer
-- may be; a message without one is decided on at once.
-- Many messages share a place, a window and a time: each of these is looked at once.
select min(i.instant) as instant
from (
    select
        least(
            greatest(c.expires_at, cast(:from as timestamptz)),
            min(
                case
                    when w.opens_at >= w.closes_at and k.days = 0 then c.earliest
                    when w.opens_at < w.closes_at and w.closes_at > c.earliest then greatest(w.opens_at, c.earliest)
                end
            )
        ) as instant
    from (
        select distinct
            c.country,
            c.time_zone,
            m.channel,
            m.window_start,
            m.window_end,
            m.expires_at,
            -- Later than :until is of no interest, and may be later than anybody can reckon.
            least(
                greatest(m.due_at, coalesce(m.retry_at, m.due_at), cast(:from as timestamptz)),
                cast(:until as timestamptz)
            ) as earliest
        from delivery.messages as m
        left join shop.customer_versions as c
            on c.customer_id = m.customer_id and {{ is_known("c", ":from") }}
        where m.state = 'planned' and m.due_at < :until
    ) as c
    left join {{ places() }} as place on place.country = c.country
    cross join generate_series(0, 2) as k (days)
    cross join lateral (select {{ zones("c", "place") }} as zones) as e
    cross join
        lateral (
            select cast(min(c.earliest at time zone p.zone) as date) + k.days as on_day
            from unnest(e.zones) as p (zone)
        ) as d
    {{ join_legal_hours("law", "c", "c.channel", "d.on_day") }}
    cross join
        lateral (
            select
                max((d.on_day + greatest(c.window_start, law.earliest)) at time zone p.zone) as opens_at,
                min((d.on_day + least(c.window_end, law.latest)) at time zone p.zone) as closes_at
            from unnest(e.zones) as p (zone)
        ) as w
    group by c.country, c.time_zone, c.channel, c.window_start, c.window_end, c.expires_at, c.earliest
) as i
where i.instant >= :from and i.instant < :until and (cast(:after as timestamptz) is null or i.instant > :after);

-- name: deferred
-- How many messages are due at :now but still planned: outside their window, waiting to be tried again, halted,
-- blocked, and of these how many a cap holds back.
select
    count(*) as messages,
    count(*) filter (where m.reason = 'capped') as capped
from delivery.messages as m
where m.state = 'planned'
    and m.due_at <= :now
    and (cast(:campaign as text) is null or m.campaign = :campaign);

-- name: plan_withdrawn
-- One row per message whose card was withdrawn: planned once more, so that the next claim decides on it again and skips
-- it with the reason.
update delivery.messages as m
set state = 'planned', reason = 'withdrawn', settled_at = null, claim = null, provider = null, retry_at = null
from unnest(cast(:customer_ids as bigint[]), cast(:message_keys as text[])) as k (customer_id, message_key)
where k.customer_id = m.customer_id and k.message_key = m.message_key
returning m.customer_id, m.campaign, m.entry_no, m.offer, m.state;
