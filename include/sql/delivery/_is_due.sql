-- True while message m can be decided on at now: due, not halted, and expired, or in its window h in every zone where
-- the customer may be, or without one.
m.state = 'planned'
and m.due_at <= :now
and (cast(:campaign as text) is null or m.campaign = :campaign)
and m.channel = any(cast(:channels as text[]))
and {% include "delivery/_is_open.sql" %}
and (
    m.expires_at <= :now
    or (
        (m.retry_at is null or m.retry_at <= :now)
        and (
            {% include "delivery/_has_no_window.sql" %}
            or (
                cast(h.earliest as date) = cast(h.latest as date)
                and cast(h.earliest as time) >= h.opens
                and cast(h.latest as time) < h.closes
            )
        )
    )
)
