-- How many more messages the caps allow the customer of message m now, over all channels and on its own; and, where
-- that is none, the instant from which there is room. Null: no cap. What they got is in m.sent_at and m.sent_channels.
select
    max(f.free_at) as free_at,
    min(k.at_most - f.used) filter (where k.channel = 'all') as room,
    min(k.at_most - f.used) filter (where k.channel <> 'all') as room_of_channel
from delivery.caps as k
cross join lateral (
    select
        case when m.sent_at is null then 0 else cardinality(t.sent) end as used,
        case when m.sent_at is not null then t.sent[k.at_most] + k.hours * interval '1 hour' end as free_at
    from (
        select array(
            select s.at
            from unnest(m.sent_at, m.sent_channels) as s (at, channel)
            where k.channel in (s.channel, 'all') and s.at > cast(:now as timestamptz) - k.hours * interval '1 hour'
            order by s.at desc
        ) as sent
    ) as t
) as f
where k.in_force_until is null and k.channel in (m.channel, 'all') and m.channel <> 'audience'
