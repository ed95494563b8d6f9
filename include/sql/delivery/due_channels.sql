-- One row per channel with a message that could be claimed at :now: those channels need their provider.
select distinct m.channel
from delivery.messages as m
where m.state = 'planned'
    and m.due_at <= :now
    and (cast(:campaign as text) is null or m.campaign = :campaign)
    and {% include "delivery/_is_open.sql" %}
