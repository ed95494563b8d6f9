{% from "ledger/macros.sql" import is_ahead %}

-- name: acquire_claim_lock
-- A worker's sign of life: this lock lasts until it lets go or its session ends, whichever way it dies.
select pg_advisory_lock(:key) as held;

-- name: release_claim_lock
-- The worker is done with its claim: everything in it is settled.
select pg_advisory_unlock(:key) as released;

-- name: attempting_claims
-- One row per claim that has messages being attempted: by a live worker, or by one that died.
select distinct claim
from delivery.messages
where state = 'attempting';

-- name: is_claim_orphaned
-- True if nobody holds the claim's lock: its worker is gone. This transaction then holds it until it ends.
select pg_try_advisory_xact_lock(:key) as is_dead;

-- name: settle_orphaned
-- One row per message a dead worker left behind; its claim's lock is held by this transaction.
-- With a provider the call may have been made: unknown, never sent again by itself. What the outbox keeps, or is
-- exported as files, is one transaction with the settled state: still attempting there provably was not sent. Planned,
-- as if never claimed.
update delivery.messages as m
set
    state = case when m.provider in ('outbox', 'files') then 'planned' else 'unknown' end,
    reason = case when m.provider in ('outbox', 'files') then null else 'worker_died' end,
    attempts = m.attempts - case when m.provider in ('outbox', 'files') then 1 else 0 end,
    attempted_at = case when m.provider in ('outbox', 'files') and m.attempts = 1 then null else m.attempted_at end,
    called_at = case when m.provider in ('outbox', 'files') and m.attempts = 1 then null else m.called_at end,
    settled_at = case when m.provider in ('outbox', 'files') then null else cast(:now as timestamptz) end,
    claim = case when m.provider in ('outbox', 'files') then null else m.claim end,
    provider = case when m.provider in ('outbox', 'files') then null else m.provider end
where m.claim = cast(:claim as uuid) and m.state = 'attempting'
returning m.customer_id, m.campaign, m.entry_no, m.offer, m.state;

-- name: first_ahead
-- One row: the first due message after a place in the queue. No row: the queue has ended.
select m.message_key
from delivery.messages as m
where {{ is_ahead("m") }}
order by m.due_at, m.message_key
limit 1;

-- name: quarantine
-- One row: the first due message after a place in the queue; while nothing may be sent, the first that has expired.
-- No claim that meets it can be read, so nothing of it is read here: it is skipped, and the queue goes on.
update delivery.messages as m
set
    state = 'skipped',
    reason = 'unreadable',
    claim = cast(:claim as uuid),
    settled_at = cast(:now as timestamptz),
    retry_at = null
where
    (m.customer_id, m.message_key) = (
        select m.customer_id, m.message_key
        from delivery.messages as m
        where {{ is_ahead("m") }}
        order by m.due_at, m.message_key
        limit 1
    )
    and m.state = 'planned'
returning m.customer_id, m.message_key, m.campaign, m.entry_no, m.offer, m.state;

-- name: settle
-- One row per message settled that gives something back, and one per other state with its number, all in one statement.
-- Only what :claim still attempts: a claim that was declared dead settles nothing. A message planned again is as it was
-- before the claim, but for the attempt, where that one counts. Outcomes are numbered: many messages share one.
with settled as (
    update delivery.messages as m
    set
        state = u.state,
        reason = u.reason,
        provider_id = u.provider_id,
        settled_at = case when u.state <> 'planned' then cast(:now as timestamptz) end,
        retry_at = u.retry_at,
        segments = case when u.state in ('accepted', 'unknown') then w.segments end,
        attempts = m.attempts - case when u.counts_as_attempt then 0 else 1 end,
        attempted_at = case when u.counts_as_attempt or m.attempts > 1 then m.attempted_at end,
        called_at = case when u.counts_as_attempt or m.attempts > 1 then m.called_at end,
        claim = case when u.state <> 'planned' then m.claim end,
        provider = case when u.state <> 'planned' then m.provider end
    from
        unnest(
            cast(:customer_ids as bigint[]), cast(:message_keys as text[]), cast(:segments as integer[]),
            cast(:outcomes as integer[])
        ) as w (customer_id, message_key, segments, outcome)
    join unnest(
        cast(:states as text[]), cast(:reasons as text[]), cast(:provider_ids as text[]),
        cast(:retry_ats as timestamptz[]), cast(:count_as_attempts as boolean[])
    ) with ordinality as u (state, reason, provider_id, retry_at, counts_as_attempt, outcome) on u.outcome = w.outcome
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
group by s.state;

-- name: replayed
-- What the sends in [:from, :until) came to, counted in the ledger: the same after a crash as without one.
-- A message skipped by a claim carries the claim; one skipped by its campaign does not.
select
    count(*) filter (
        where m.state in ('accepted', 'delivered', 'bounced') and m.attempted_at >= :from and m.attempted_at < :until
    ) as accepted,
    count(*) filter (where m.state = 'refused' and m.attempted_at >= :from and m.attempted_at < :until) as refused,
    count(*) filter (where m.state = 'unknown' and m.attempted_at >= :from and m.attempted_at < :until) as unknown,
    count(*) filter (where m.state = 'planned' and m.due_at < :until) as deferred,
    count(*) filter (
        where m.state = 'skipped' and m.claim is not null and m.settled_at >= :from and m.settled_at < :until
    ) as skipped
from delivery.messages as m
where m.due_at < :until;
