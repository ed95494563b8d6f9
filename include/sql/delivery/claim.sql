-- One row per message decided on: attempting (the worker of :claim now hands it over), skipped with its reason, planned
-- until a cap lets it go, or unknown where a restored database may have forgotten that it was sent.
-- Each rule is checked again here, with what is known at :now: whatever happened since planning, nothing is sent
-- that must not be. What is outside its window, waits to be tried again or is halted is left planned.
-- A batch takes customers, each with all that is due: their messages compete for the caps by the campaign's priority,
-- then by time. Who is not first counts those before it as sent; if they are not, the next batch finds that out.
-- Two steps of one enrolment never go out on one local date: the later one waits for the next day's window. To be in an
-- audience is no message to anybody: it waits for none and holds none up.
-- The guard on state carries the promise "claimed once"; the advisory lock taken before only saves waiting.
with picked as materialized (
    select m.customer_id
    from delivery.messages as m
    left join shop.customer_versions as c
        on c.customer_id = m.customer_id and c.known_at <= :now and c.superseded_at > :now
    {% include "delivery/_hours.sql" %}
    where {% include "delivery/_is_due.sql" %}
    order by m.due_at
    limit :size
),

due as materialized (
    select
        m.customer_id,
        m.message_key,
        m.channel,
        m.due_at,
        coalesce(cast(v.definition ->> 'priority' as integer), 50) as priority,
        m.campaign,
        m.entry_no,
        n.tomorrow,
        greatest(l.free_at, n.tomorrow) as free_at,
        l.room,
        l.room_of_channel,
        g.claim as restore,
        coalesce(
            case
                when g.claim is not null then 'restored'
                when m.expires_at <= :now and m.reason = 'capped' then 'capped'
                when m.expires_at <= :now then 'too_late'
                when e.customer_id is null then 'no_enrolment'
                when e.arm <> 'treated' then 'control'
                when e.exit_reason = 'finished' then 'too_late'
                when e.exited_on is not null then e.exit_reason
                when coalesce(v.definition -> 'exit_on' @> cast('["order"]' as jsonb), true) and (
                    {% include "campaigns/_ordered_since_entry.sql" %}
                ) then 'order'
            end,
            {% with channel = "m.channel" %}{% include "campaigns/_not_allowed.sql" %}{% endwith %},
            case
                when m.channel = 'email' and coalesce(c.email !~ '^[^][\s<>(),"@]+@[^][\s<>(),"@]+[.][^][\s<>(),"@]+$', true)
                    then 'no_address'
                when m.channel = 'sms' and coalesce(c.phone !~ '^[+][1-9][0-9]{6,14}$', true)
                    then 'no_address'
                when m.channel = 'audience'
                    and coalesce(c.email !~ '^[^][\s<>(),"@]+@[^][\s<>(),"@]+[.][^][\s<>(),"@]+$', true)
                    and coalesce(c.phone !~ '^[+][1-9][0-9]{6,14}$', true)
                    then 'no_address'
                when {% include "delivery/_has_no_window.sql" %} then 'no_window'
                when m.offer is not null and coalesce(p.state, 'void') not in ('reserved', 'issued', 'redeemed') then 'coupon_void'
                when p.state = 'redeemed' and {% include "delivery/_is_redeemed.sql" %} then 'coupon_redeemed'
                when p.state in ('issued', 'redeemed') and p.expires_at <= :now then 'coupon_expired'
            end
        ) as reason
    from delivery.messages as m
    left join campaigns.enrolments as e
        on e.customer_id = m.customer_id and e.campaign = m.campaign and e.entry_no = m.entry_no
    left join campaigns.versions as v on v.campaign = m.campaign and v.version = m.version
    left join campaigns.coupons as p
        on p.customer_id = m.customer_id and p.campaign = m.campaign and p.entry_no = m.entry_no and p.offer = m.offer
    left join shop.customer_versions as c
        on c.customer_id = m.customer_id and c.known_at <= :now and c.superseded_at > :now
    {% include "delivery/_hours.sql" %}
    left join lateral ({% include "delivery/_room.sql" %}) as l on true
    left join lateral (
        select max((cast(h.earliest as date) + 1 + h.opens) at time zone w.zone) as tomorrow
        from unnest(h.zones) as w (zone)
        where m.channel <> 'audience' and exists (
            select from delivery.messages as s
            where s.customer_id = m.customer_id
                and s.campaign = m.campaign
                and s.entry_no = m.entry_no
                and s.message_key <> m.message_key
                and {% include "delivery/_may_have_gone.sql" %}
                and cast(s.attempted_at at time zone w.zone as date) = cast(h.earliest as date)
        )
    ) as n on true
    left join lateral (
        select r.claim
        from delivery.restores as r
        where m.due_at <= r.restored_at
            and m.expires_at > r.backup_at
            and m.channel <> 'audience' -- to be put in twice is harmless
            and cast(:providers as jsonb) ->> m.channel <> 'outbox' -- restored with the ledger: not in it, not stored
            and not exists (
                select from delivery.decisions as x
                where x.customer_id = m.customer_id
                    and x.message_key = m.message_key
                    and x.decision = 'again'
                    and x.decided_at >= r.restored_at
            )
        order by r.restored_at desc
        limit 1
    ) as g on true
    where m.customer_id in (select b.customer_id from picked as b)
        and {% include "delivery/_is_due.sql" %}
),

ranked as materialized (
    select
        d.*,
        case
            when d.reason = 'restored' then 'unknown'
            when d.reason is not null then 'skipped'
            when d.free_at is not null then 'planned'
            else 'attempting'
        end as new_state,
        case
            when d.reason is not null or d.free_at is null then d.reason
            when d.free_at = d.tomorrow then 'same_day'
            else 'capped'
        end as new_reason,
        count(*) filter (where d.reason is null and d.free_at is null and d.channel <> 'audience') over (
            partition by d.customer_id, d.campaign, d.entry_no order by d.due_at, d.message_key
        ) as nth_of_entry,
        count(*) filter (where d.reason is null and d.free_at is null and d.channel <> 'audience') over (
            partition by d.customer_id order by d.priority, d.due_at, d.message_key
        ) as nth,
        count(*) filter (where d.reason is null and d.free_at is null and d.channel <> 'audience') over (
            partition by d.customer_id, d.channel order by d.priority, d.due_at, d.message_key
        ) as nth_of_channel
    from due as d
)

update delivery.messages as m
set state = d.new_state,
    reason = d.new_reason,
    claim = case d.new_state when 'planned' then null when 'unknown' then d.restore else cast(:claim as uuid) end,
    provider = case
        when d.new_state <> 'attempting' then m.provider
        else cast(:providers as jsonb) ->> m.channel
    end,
    attempts = case d.new_state when 'attempting' then m.attempts + 1 when 'unknown' then greatest(m.attempts, 1)
        else m.attempts end,
    attempted_at = case when d.new_state in ('attempting', 'unknown') then cast(:now as timestamptz)
        else m.attempted_at end,
    settled_at = case when d.new_state in ('skipped', 'unknown') then cast(:now as timestamptz) end,
    retry_at = case when d.new_state = 'planned' then d.free_at end
from ranked as d
where d.customer_id = m.customer_id
    and d.message_key = m.message_key
    and m.state = 'planned'
    and (
        d.new_state <> 'attempting'
        or d.channel = 'audience'
        or (d.nth_of_entry = 1 and d.nth <= coalesce(d.room, d.nth) and d.nth_of_channel <= coalesce(d.room_of_channel, d.nth_of_channel))
    )
returning m.customer_id, m.campaign, m.entry_no, m.offer, m.state
