-- One row per message a dead worker left behind; its claim's lock is held by this transaction.
-- With a provider the call may have been made: unknown, never sent again by itself. What the outbox keeps, or is
-- exported as files, is one transaction with the settled state: still attempting there provably was not sent. Planned,
-- as if never claimed.
update delivery.messages as m
set state = case when m.provider in ('outbox', 'files') then 'planned' else 'unknown' end,
    reason = case when m.provider in ('outbox', 'files') then null else 'worker_died' end,
    attempts = m.attempts - case when m.provider in ('outbox', 'files') then 1 else 0 end,
    attempted_at = case when m.provider in ('outbox', 'files') and m.attempts = 1 then null else m.attempted_at end,
    called_at = case when m.provider in ('outbox', 'files') and m.attempts = 1 then null else m.called_at end,
    settled_at = case when m.provider in ('outbox', 'files') then null else cast(:now as timestamptz) end,
    claim = case when m.provider in ('outbox', 'files') then null else m.claim end,
    provider = case when m.provider in ('outbox', 'files') then null else m.provider end
where m.claim = cast(:claim as uuid) and m.state = 'attempting'
returning m.customer_id, m.campaign, m.entry_no, m.offer, m.state
