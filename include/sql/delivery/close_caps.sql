-- One row per cap in force that is none of those given: from :now on it is history.
update delivery.caps as k
set in_force_until = greatest(k.in_force_from, cast(:now as timestamptz))
where k.in_force_until is null
    and not exists (
        select from unnest(cast(:channels as text[]), cast(:at_mosts as integer[]), cast(:hours as integer[]))
        as u (channel, at_most, hours)
        where u.channel = k.channel and u.at_most = k.at_most and u.hours = k.hours
    )
returning k.channel
