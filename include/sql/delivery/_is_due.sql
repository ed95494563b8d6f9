-- True while message m is due at now, neither halted nor waiting to be tried again; whether it is in its window is
-- another question.
m.state = 'planned'
and m.due_at <= :now
and (cast(:campaign as text) is null or m.campaign = :campaign)
and m.channel = any(cast(:channels as text[]))
and (m.expires_at <= :now or m.retry_at is null or m.retry_at <= :now)
and {% include "delivery/_is_open.sql" %}
