-- name: campaigns
-- One row per campaign that somebody was ever enrolled with, and its steps: those of the newest version in its order,
-- then those that only older ones have.
select
    s.campaign,
    coalesce(
        array_agg(s.step order by s.first_used_on desc, s.version, s.place) filter (where s.step is not null), '{}'
    ) as steps
from (
    select distinct on (v.campaign, e.step ->> 'step')
        v.campaign,
        v.version,
        v.first_used_on,
        e.step ->> 'step' as step,
        e.place
    from campaigns.versions as v
    left join lateral jsonb_array_elements(v.definition -> 'steps') with ordinality as e (step, place) on true
    order by v.campaign, e.step ->> 'step', v.first_used_on desc, v.version
) as s
group by s.campaign
order by s.campaign;

-- name: messages
-- One row per run day, campaign, step, channel, state and reason: messages of the runs of [first, last].
-- The campaigns come from their versions, so that the index on (campaign, day) is used.
select
    m.day,
    m.campaign,
    m.step,
    m.channel,
    m.state,
    m.reason,
    count(*) as messages
from delivery.messages as m
where m.campaign = any(cast(:campaigns as text[]))
    and m.day between cast(:first as date) and cast(:last as date)
group by m.day, m.campaign, m.step, m.channel, m.state, m.reason
order by m.day desc, m.campaign, m.step, m.channel, m.state, m.reason;

-- name: waiting
-- One row per campaign, channel and kind of waiting: due now, due later, being attempted, or with an unknown outcome.
-- One branch per partial index, so that the settled messages of years are not read.
select
    w.campaign,
    w.channel,
    w.state,
    count(*) as messages,
    min(w.since) as oldest
from (
    select
        p.campaign,
        p.channel,
        case when p.due_at <= :now and coalesce(p.retry_at, p.due_at) <= :now then 'due' else 'later' end as state,
        p.due_at as since
    from delivery.messages as p
    where p.state = 'planned'
    union all
    select
        a.campaign,
        a.channel,
        a.state,
        a.attempted_at as since
    from delivery.messages as a
    where a.state = 'attempting'
    union all
    select
        u.campaign,
        u.channel,
        u.state,
        u.attempted_at as since
    from delivery.messages as u
    where u.state = 'unknown'
) as w
group by w.campaign, w.channel, w.state
order by w.campaign, w.channel, w.state;

-- name: halts
-- One row per halt in force.
select
    h.kind,
    h.name,
    h.halted_at
from delivery.halts as h
order by h.kind, h.name;

-- name: paused
-- One row per campaign that its file keeps from going on, with the published day since which it does.
select
    p.campaign,
    p.message,
    p.since_day
from campaigns.paused as p
where p.removed_on is null
order by p.campaign;
