-- Why the event e says that its message did not arrive, or was not sent; null if it says nothing like it.
case
    when e.kind = 'dropped' then 'dropped' || coalesce(': ' || e.detail, '')
    when e.kind = 'canceled' then 'cancelled'
    when e.kind = 'failed' and e.detail = '21610' then 'opted_out'
    when e.kind = 'failed' and e.detail in ('21211', '21614', '21635', '30005', '30006') then 'invalid_number'
    when e.kind = 'failed' then 'provider_refused' || coalesce(': ' || e.detail, '')
    when e.kind = 'bounce' and e.detail = 'blocked' then 'blocked'
    when e.kind = 'bounce' then 'hard_bounce'
    when e.kind = 'undelivered' then 'undelivered' || coalesce(': ' || e.detail, '')
end
