-- How many more messages the caps allow the customer of message m now, over all channels and on its own; and, where
-- that is none, the instant from which there is room. Null: no cap. m.sent and m.sent_on_channel are when they got some.
select
    max(f.free_at) as free_at,
    min(k.at_most - f.used) filter (where k.channel = 'all') as room,
    min(k.at_most - f.used) filter (where k.channel <> 'all') as room_of_channel
from delivery.caps as k
cross join lateral (
    select
        count(*) as used,
        (array_agg(s.at order by s.at desc))[k.at_most] + k.hours * interval '1 hour' as free_at
    from unnest(case when k.channel = 'all' then m.sent else m.sent_on_channel end) as s (at)
    where s.at > cast(:now as timestamptz) - k.hours * interval '1 hour'
) as f
where k.in_force_until is null and k.channel in (m.channel, 'all') and m.channel <> 'audience'
