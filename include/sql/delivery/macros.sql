-- True while a halt, or the want of its file, keeps the campaign, or the channel, from leaving as files. Both are
-- expressions.
{% macro is_halted(campaign, channel) -%}
exists (
    select from campaigns.paused as x where x.campaign = {{ campaign }}
    union all

    select from delivery.halts as h
    where h.kind = 'all' or (h.kind = 'campaign' and h.name = {{ campaign }}) or (h.kind = 'channel' and h.name = {{ channel }})
)
{%- endmacro %}

-- Each message that was handed over, or may have been, and went_at, when: what the real clock showed where a provider
-- was called, the instant that was played where the outbox or a file has it. Not those a restore made unknown: what
-- stands there is when the restore was, not when they went out.
{% macro went_out() -%}
select
    w.*,
    case
        when w.provider in ('outbox', 'files') then w.attempted_at else coalesce(w.called_at, w.attempted_at)
    end as went_at
from delivery.messages as w
where w.state in ('attempting', 'accepted', 'delivered', 'bounced', 'unknown')
    and not exists (select from delivery.restores as r where r.claim = w.claim)
{%- endmacro %}
