-- name: caps
-- One row per cap in force.
select channel, at_most, hours
from delivery.caps
where in_force_until is null
order by channel, at_most, hours;

-- name: close_caps
-- One row per cap in force that is none of those given: from :now on it is history.
update delivery.caps as k
set in_force_until = greatest(k.in_force_from, cast(:now as timestamptz))
where k.in_force_until is null
    and not exists (
        select
        from
            unnest(
                cast(:channels as text[]), cast(:at_mosts as integer[]), cast(:hours as integer[])
            ) as u (channel, at_most, hours)
        where u.channel = k.channel and u.at_most = k.at_most and u.hours = k.hours
    )
returning k.channel;

-- name: open_caps
-- One row per cap that comes into force at :now.
insert into delivery.caps (channel, at_most, hours, in_force_from)
select u.channel, u.at_most, u.hours, :now
from
    unnest(
        cast(:channels as text[]), cast(:at_mosts as integer[]), cast(:hours as integer[])
    ) as u (channel, at_most, hours)
on conflict (channel, at_most, hours) where in_force_until is null do nothing
returning channel;

-- name: free_capped
-- One row per message that a cap held back and that may try again now: of the customers given, since one of their
-- messages was not sent after all; of everybody where none are given, since the caps have changed.
update delivery.messages as m
set
    reason = null,
    retry_at = null
where m.state = 'planned'
    and m.reason = 'capped'
    and (cast(:customer_ids as bigint[]) is null or m.customer_id = any(cast(:customer_ids as bigint[])))
returning m.customer_id;
