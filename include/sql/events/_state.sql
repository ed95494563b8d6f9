-- What the event e says of its message. Whatever is reported with our key was accepted, at the least.
case
    when e.kind in ('dropped', 'failed', 'canceled') then 'refused'
    when e.kind in ('bounce', 'undelivered') then 'bounced'
    when e.kind in ('delivered', 'read', 'open', 'click', 'spamreport', 'unsubscribe', 'group_unsubscribe', 'group_resubscribe')
        then 'delivered'
    else 'accepted'
end
