-- True while message m of customer c can be decided on at now: due, not halted, and expired or in its window.
m.state = 'planned'
and m.due_at <= :now
and (cast(:campaign as text) is null or m.campaign = :campaign)
and m.channel = any(cast(:channels as text[]))
and {% include "delivery/_is_open.sql" %}
and (
    m.expires_at <= :now
    or (
        (m.retry_at is null or m.retry_at <= :now)
        and cast(cast(:now as timestamptz) at time zone ({% include "delivery/_zone.sql" %}) as time) >= m.window_start
        and cast(cast(:now as timestamptz) at time zone ({% include "delivery/_zone.sql" %}) as time) < m.window_end
    )
)
