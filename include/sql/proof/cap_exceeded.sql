-- Nobody gets more than the caps allow. One row per message and cap, in force when it went out, that it went beyond:
-- with it the customer had more than so many messages in the hours that ended then.
select
    m.customer_id,
    m.message_key,
    k.channel,
    k.at_most,
    k.hours
from delivery.caps as k
inner join ({% include "proof/_went_out.sql" %}) as m
    on (k.channel = 'all' or k.channel = m.channel)
    and m.went_at >= k.in_force_from
    and (k.in_force_until is null or m.went_at < k.in_force_until)
where k.at_most < (
    select count(*) from ({% include "proof/_went_out.sql" %}) as s
    where s.customer_id = m.customer_id
        and s.channel <> 'audience' -- nobody gets an audience
        and (k.channel = 'all' or s.channel = k.channel)
        and s.went_at > m.went_at - k.hours * interval '1 hour'
        and s.went_at <= m.went_at
)
