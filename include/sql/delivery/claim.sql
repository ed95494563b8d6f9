-- One row per message decided on: attempting (the worker of :claim now hands it over), or skipped with its reason.
-- Each rule is checked again here, with what is known at :now: whatever happened since planning, nothing is sent
-- that must not be. What is outside its window, waits to be tried again or is halted is left planned.
-- The guard on state carries the promise "claimed once"; the advisory lock taken before only saves waiting.
with due as materialized (
    select
        m.customer_id,
        m.message_key,
        case
            when m.expires_at <= :now then 'too_late'
            when e.customer_id is null then 'no_enrolment'
            when e.arm <> 'treated' then 'control'
            when e.exit_reason = 'finished' then 'too_late'
            when e.exited_on is not null then e.exit_reason
            when coalesce(v.definition -> 'exit_on' @> cast('["order"]' as jsonb), true) and (
                {% include "campaigns/_ordered_since_entry.sql" %}
            ) then 'order'
            when exists (
                select from shop.suppressions as s
                where s.customer_id = m.customer_id
                    and s.channel in (m.channel, 'all')
                    and s.known_at <= :now
                    and (s.lifted_at is null or s.lifted_at > :now)
            ) then 'suppressed'
            when not exists (
                select from shop.consent_versions as k
                where k.customer_id = m.customer_id
                    and k.purpose = 'marketing'
                    and k.channel = m.channel
                    and k.is_granted
                    and k.known_at <= :now
                    and k.superseded_at > :now
            ) then 'no_consent'
            when m.channel = 'email' and coalesce(c.email !~ '^[^][\s<>(),"@]+@[^][\s<>(),"@]+[.][^][\s<>(),"@]+$', true)
                then 'no_address'
            when m.channel = 'sms' and coalesce(c.phone !~ '^[+][1-9][0-9]{6,14}$', true)
                then 'no_address'
            when m.offer is not null and coalesce(p.state, 'void') not in ('reserved', 'issued') then 'coupon_void'
            when p.state = 'issued' and p.expires_at <= :now then 'coupon_expired'
        end as reason
    from delivery.messages as m
    left join campaigns.enrolments as e
        on e.customer_id = m.customer_id and e.campaign = m.campaign and e.entry_no = m.entry_no
    left join campaigns.versions as v on v.campaign = m.campaign and v.version = m.version
    left join campaigns.coupons as p
        on p.customer_id = m.customer_id and p.campaign = m.campaign and p.entry_no = m.entry_no and p.offer = m.offer
    left join shop.customer_versions as c
        on c.customer_id = m.customer_id and c.known_at <= :now and c.superseded_at > :now
    where m.state = 'planned'
        and m.due_at <= :now
        and (cast(:campaign as text) is null or m.campaign = :campaign)
        and m.channel = any(cast(:channels as text[]))
        and {% include "delivery/_is_open.sql" %}
        and (
            m.expires_at <= :now
            or (
                (m.retry_at is null or m.retry_at <= :now)
                and cast(cast(:now as timestamptz) at time zone ({% include "delivery/_zone.sql" %}) as time)
                >= m.window_start
                and cast(cast(:now as timestamptz) at time zone ({% include "delivery/_zone.sql" %}) as time)
                < m.window_end
            )
        )
    order by m.due_at
    limit :size
)

update delivery.messages as m
set state = case when d.reason is null then 'attempting' else 'skipped' end,
    reason = d.reason,
    claim = cast(:claim as uuid),
    provider = case
        when d.reason is not null then m.provider
        when m.channel = 'email' then cast(:email_provider as text)
        else cast(:sms_provider as text)
    end,
    attempts = m.attempts + case when d.reason is null then 1 else 0 end,
    attempted_at = case when d.reason is null then cast(:now as timestamptz) else m.attempted_at end,
    settled_at = case when d.reason is not null then cast(:now as timestamptz) end,
    retry_at = null
from due as d
where d.customer_id = m.customer_id
    and d.message_key = m.message_key
    and m.state = 'planned'
returning m.customer_id, m.campaign, m.entry_no, m.offer, m.state
