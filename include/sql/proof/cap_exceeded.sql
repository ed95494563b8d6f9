-- Nobody gets more than the caps allow. One row per message and cap, in force when it went out, that it went beyond:
-- with it the customer had more than so many messages in the hours that ended then.
select
    m.customer_id,
    m.message_key,
    k.channel,
    k.at_most,
    k.hours
from delivery.caps as k
inner join delivery.messages as m
    on (k.channel = 'all' or k.channel = m.channel)
    and m.attempted_at >= k.in_force_from
    and (k.in_force_until is null or m.attempted_at < k.in_force_until)
where {% include "proof/_went_out.sql" %}
    and k.at_most < (
        select count(*) from delivery.messages as s
        where s.customer_id = m.customer_id
            and (k.channel = 'all' or s.channel = k.channel)
            and s.attempted_at > m.attempted_at - k.hours * interval '1 hour'
            and s.attempted_at <= m.attempted_at
            and {% include "delivery/_may_have_gone.sql" %}
            and not exists (select from delivery.restores as r where r.claim = s.claim)
    )
