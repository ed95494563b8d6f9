-- One row: the unknown message a person has decided on. Sent: accepted. Again: planned once more, and every rule is
-- checked again by the claim; only while its window is open, since it could not be sent later than that.
update delivery.messages as m
set state = case when :decision = 'sent' then 'accepted' else 'planned' end,
    reason = case when :decision = 'sent' then 'settled_by' else 'sent_again' end,
    settled_at = case when :decision = 'sent' then cast(:now as timestamptz) end,
    claim = case when :decision = 'sent' then m.claim end,
    provider = case when :decision = 'sent' then m.provider end,
    retry_at = null
where m.message_key = :message_key
    and m.state = 'unknown'
    and (:decision = 'sent' or m.expires_at > :now)
returning m.customer_id, m.campaign, m.entry_no, m.offer, m.state
