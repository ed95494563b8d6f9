{% from "ledger/macros.sql" import given_caps %}

-- name: caps
-- One row per cap in force.
select channel, at_most, hours, selection, members_on, is_current
from delivery.caps
where in_force_until is null;

-- name: days_of_selections
-- One row per selection of :selections: the newest day that it has done by :ended, and whether that is the newest one
-- published by then.
select
    s.selection,
    max(d.day) filter (where d.stage = 'selections') as members_on,
    coalesce(
        max(d.day) filter (where d.stage = 'selections') = max(d.day) filter (where d.stage = 'orders'), false
    ) as is_current
from unnest(cast(:selections as text[])) as s (selection)
left join shop.days as d
    on d.state = 'done'
    and d.day <= :ended
    and (d.stage = 'orders' or (d.stage = 'selections' and d.part = s.selection))
group by s.selection;

-- name: close_caps
-- One row per cap in force that is none of those given: from :now on it is history.
update delivery.caps as k
set in_force_until = greatest(k.in_force_from, cast(:now as timestamptz))
where k.in_force_until is null
    and not exists (
        select from {{ given_caps() }} as u
        where u.channel = k.channel
            and u.at_most = k.at_most
            and u.hours = k.hours
            and u.selection = k.selection
            and u.members_on is not distinct from k.members_on
            and u.is_current = k.is_current
    )
returning k.channel;

-- name: open_caps
-- One row per cap that comes into force at :now, or once more where an earlier one began at that very instant.
insert into delivery.caps as k (channel, at_most, hours, selection, members_on, is_current, in_force_from)
select u.channel, u.at_most, u.hours, u.selection, u.members_on, u.is_current, :now
from {{ given_caps() }} as u
where
    not exists (
        select from delivery.caps as held
        where held.in_force_until is null
            and held.channel = u.channel
            and held.at_most = u.at_most
            and held.hours = u.hours
            and held.selection = u.selection
    )
on conflict (channel, at_most, hours, selection, in_force_from) do update
    set members_on = excluded.members_on, is_current = excluded.is_current, in_force_until = null
returning k.channel;

-- name: free_capped
-- One row per message that a cap held back and that may try again now: of the customers given, since one of their
-- messages was not sent after all; of everybody where none are given, since the caps have changed. That a cap held it
-- back stays its reason until it is decided on again.
update delivery.messages as m
set retry_at = null
where m.state = 'planned'
    and m.reason = 'capped'
    and m.retry_at is not null
    and (cast(:customer_ids as bigint[]) is null or m.customer_id = any(cast(:customer_ids as bigint[])))
returning m.customer_id;
