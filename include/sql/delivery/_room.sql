-- How many more messages the caps allow the customer of message m at now, over all channels and on its own; and, where
-- that is none, the instant from which there is room. Null: no cap. It counts what went out after now as well, so that
-- claims at instants out of order exceed no cap either.
select
    max(f.free_at) as free_at,
    min(k.at_most - f.used) filter (where k.channel = 'all') as room,
    min(k.at_most - f.used) filter (where k.channel <> 'all') as room_of_channel
from delivery.caps as k
cross join lateral (
    select
        count(*) as used,
        (array_agg(s.attempted_at order by s.attempted_at desc))[k.at_most] + k.hours * interval '1 hour' as free_at
    from delivery.messages as s
    where s.customer_id = m.customer_id
        and (k.channel = 'all' or s.channel = k.channel)
        and s.attempted_at > cast(:now as timestamptz) - k.hours * interval '1 hour'
        and {% include "delivery/_may_have_gone.sql" %}
) as f
where k.in_force_until is null and k.channel in (m.channel, 'all') and m.channel <> 'audience'
