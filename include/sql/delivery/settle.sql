-- One row per message settled that gives something back, and one per other state with its number, all in one statement.
-- Only what :claim still attempts: a claim that was declared dead settles nothing. A message planned again is as it was
-- before the claim, but for the attempt, where that one counts. Outcomes are numbered: many messages share one.
with settled as (
    update delivery.messages as m
    set state = u.state,
        reason = u.reason,
        provider_id = u.provider_id,
        settled_at = case when u.state <> 'planned' then cast(:now as timestamptz) end,
        retry_at = u.retry_at,
        segments = case when u.state in ('accepted', 'unknown') then w.segments end,
        attempts = m.attempts - case when u.is_burned then 0 else 1 end,
        attempted_at = case when u.is_burned or m.attempts > 1 then m.attempted_at end,
        called_at = case when u.is_burned or m.attempts > 1 then m.called_at end,
        claim = case when u.state <> 'planned' then m.claim end,
        provider = case when u.state <> 'planned' then m.provider end
    from unnest(
        cast(:customer_ids as bigint[]), cast(:message_keys as text[]), cast(:segments as integer[]),
        cast(:outcomes as integer[])
    ) as w (customer_id, message_key, segments, outcome)
    join unnest(
        cast(:states as text[]), cast(:reasons as text[]), cast(:provider_ids as text[]),
        cast(:retry_ats as timestamptz[]), cast(:are_burned as boolean[])
    ) with ordinality as u (state, reason, provider_id, retry_at, is_burned, outcome) on u.outcome = w.outcome
    where m.customer_id = w.customer_id
        and m.message_key = w.message_key
        and m.state = 'attempting'
        and m.claim = cast(:claim as uuid)
    returning m.customer_id, m.campaign, m.entry_no, m.offer, m.state
)

select
    s.customer_id,
    s.campaign,
    s.entry_no,
    s.offer,
    s.state,
    1 as messages
from settled as s
where s.state in ('planned', 'refused')
union all
select
    null as customer_id,
    null as campaign,
    null as entry_no,
    null as offer,
    s.state,
    count(*) as messages
from settled as s
where s.state not in ('planned', 'refused')
group by s.state
