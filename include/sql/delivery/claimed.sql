-- One row per message of :claim that is being attempted, with what its template may say, as known at :now. Instants in
-- its text are told in the customer's zone; where that is not known, in their country's westernmost.
select
    m.customer_id,
    m.message_key,
    m.campaign,
    m.version,
    m.entry_no,
    m.step,
    m.channel,
    m.offer,
    m.attempts,
    case m.channel when 'email' then c.email when 'sms' then c.phone else '' end as recipient,
    c.email,
    c.phone,
    c.first_name,
    c.language,
    b.time_zone,
    least(m.expires_at, b.closes_at) as send_before,
    p.code as coupon_code,
    p.percent as offer_percent,
    p.expires_at as coupon_expires_at,
    l.last_order_on
from delivery.messages as m
left join campaigns.coupons as p
    on p.customer_id = m.customer_id and p.campaign = m.campaign and p.entry_no = m.entry_no and p.offer = m.offer
left join shop.customer_versions as c
    on c.customer_id = m.customer_id and c.known_at <= :now and c.superseded_at > :now
{% include "delivery/_hours.sql" %}
cross join lateral (
    select
        min((cast(h.earliest as date) + h.closes) at time zone a.zone) as closes_at,
        -- Of several, the one where it is earliest: an hour named there is over nowhere else before.
        (array_agg(a.zone order by cast(:now as timestamptz) at time zone a.zone, a.zone))[1] as time_zone
    from unnest(h.zones) as a (zone)
) as b
left join lateral (
    select max(o.ordered_on) as last_order_on
    from shop.order_versions as o
    where o.customer_id = m.customer_id
        and o.status = 'complete'
        and o.known_at <= :now
        and o.superseded_at > :now
) as l on true
where m.claim = cast(:claim as uuid) and m.state = 'attempting'
order by m.campaign, m.version, m.step, m.channel, c.language, m.due_at, m.customer_id
