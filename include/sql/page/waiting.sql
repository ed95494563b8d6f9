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
order by w.campaign, w.channel, w.state
