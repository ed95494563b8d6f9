-- name: reserve_coupons
-- Reserves one code per customer, entry and offer for the messages of a step planned on day. Returns how many. The
-- code is ten of 32 signs that nobody mistakes for another, from HMAC-SHA256 over customer, campaign, entry and
-- offer; inner_pad and outer_pad are the secret's two pads, so the secret itself never reaches the database. A
-- reminder of the same offer finds its code; one that was void for not being sent is reserved again. With what the
-- offer says, by :terms: whatever becomes of it, that is what the code is good for.
with written as (
    insert into offers.coupons as c (customer_id, campaign, entry_no, offer, code, percent, terms, state, reserved_on)
    select
        m.customer_id,
        m.campaign,
        m.entry_no,
        m.offer,
        (
            select
                string_agg(
                    substring('23456789ABCDEFGHJKLMNPQRSTUVWXYZ' from (get_byte(m.digest, place) & 31) + 1 for 1), ''
                    order by place
                )
            from generate_series(0, 9) as place
        ),
        cast(cast(:terms as jsonb) #>> array[m.offer, 'percent'] as numeric),
        cast(:terms as jsonb) -> m.offer,
        'reserved',
        :day
    from (
        select
            customer_id,
            campaign,
            entry_no,
            offer,
            sha256(cast(:outer_pad as bytea) || sha256(cast(:inner_pad as bytea) || convert_to(
                concat_ws(chr(31), customer_id, campaign, entry_no, offer), 'UTF8'
            ))) as digest
        from delivery.messages
        where campaign = :campaign
            and version = :version
            and day = :day
            and step = :step
            and state = 'planned'
            and offer is not null
    ) as m
    on conflict (customer_id, campaign, entry_no, offer) do update
        set state = 'reserved',
            reserved_on = excluded.reserved_on,
            percent = excluded.percent,
            terms = excluded.terms
        where c.state = 'void'
    returning c.customer_id
)

select count(*) from written;

-- name: issue_coupons
-- One row per coupon issued: those of the messages just claimed. From now its time runs: days by the shop's calendar,
-- hours by the clock. A coupon that an earlier message carried keeps its expiry.
update offers.coupons as p
set
    state = 'issued',
    expires_at = date_add(
        cast(:now as timestamptz),
        cast(v.definition #>> array['offers', p.offer, 'valid_for'] as interval),
        cast(:shop_zone as text)
    )
from delivery.messages as m
join campaigns.versions as v on v.campaign = m.campaign and v.version = m.version
where m.claim = cast(:claim as uuid)
    and m.state = 'attempting'
    and p.customer_id = m.customer_id
    and p.campaign = m.campaign
    and p.entry_no = m.entry_no
    and p.offer = m.offer
    and p.state = 'reserved'
returning p.customer_id, p.campaign, p.entry_no, p.offer, p.expires_at;

-- name: issue_restored_coupons
-- One row per coupon that may be out since its message was sent by the database lost: the code must work for whoever
-- got it. Nobody knows when that was; counted from the restore, no code ends before the time its message gave.
update offers.coupons as p
set
    state = 'issued',
    expires_at = date_add(
        r.restored_at,
        cast(v.definition #>> array['offers', p.offer, 'valid_for'] as interval),
        cast(:shop_zone as text)
    )
from delivery.messages as m
join delivery.restores as r on r.claim = m.claim
join campaigns.versions as v on v.campaign = m.campaign and v.version = m.version
where m.state = 'unknown'
    and p.customer_id = m.customer_id
    and p.campaign = m.campaign
    and p.entry_no = m.entry_no
    and p.offer = m.offer
    and p.state = 'reserved'
returning p.customer_id;

-- name: release_coupons
-- One row per coupon that nobody got: of the entries given, those whose offer no message carried out. It is reserved
-- again while a message is still planned with it, else void. A function of the ledger, so safe to run again.
update offers.coupons as p
set
    state = case
        when
            exists (
                select from delivery.messages as w
                where w.customer_id = p.customer_id
                    and w.campaign = p.campaign
                    and w.entry_no = p.entry_no
                    and w.offer = p.offer
                    and w.state = 'planned'
            )
            then 'reserved'
        else 'void'
    end,
    expires_at = null
from
    unnest(
        cast(:customer_ids as bigint[]),
        cast(:campaigns as text[]),
        cast(:entry_nos as integer[]),
        cast(:offers as text[])
    ) as u (customer_id, campaign, entry_no, offer)
where p.customer_id = u.customer_id
    and p.campaign = u.campaign
    and p.entry_no = u.entry_no
    and p.offer = u.offer
    and p.state in ('reserved', 'issued')
    and not exists (
        select from delivery.messages as o
        where o.customer_id = p.customer_id
            and o.campaign = p.campaign
            and o.entry_no = p.entry_no
            and o.offer = p.offer
            and o.state in ('attempting', 'accepted', 'delivered', 'bounced', 'unknown')
    )
returning p.customer_id, p.state;

-- name: void_coupons
-- Voids the codes that were reserved for enrolments that ended on day and never sent. Returns how many.
with written as (
    update offers.coupons as c
    set state = 'void'
    from campaigns.enrolments as e
    where e.customer_id = c.customer_id
        and e.campaign = c.campaign
        and e.entry_no = c.entry_no
        and e.campaign = :campaign
        and e.exited_on = :day
        and c.state = 'reserved'
    returning c.customer_id
)

select count(*) from written;

-- name: void_all_coupons
-- Voids the codes of a campaign that was removed which are still reserved: nobody got them. Returns how many.
with written as (
    update offers.coupons as c
    set state = 'void'
    where c.campaign = :campaign and c.state = 'reserved'
    returning c.customer_id
)

select count(*) from written;

-- name: void_undelivered
-- One row per code that was reserved for a message of :step and that no message brings any more: it is void.
update offers.coupons as c
set state = 'void'
from delivery.messages as m
where m.campaign = :campaign
    and m.version = :version
    and m.step = :step
    and m.state = 'skipped'
    and c.customer_id = m.customer_id
    and c.campaign = m.campaign
    and c.entry_no = m.entry_no
    and c.offer = m.offer
    and c.state = 'reserved'
    and not exists (
        select from delivery.messages as o
        where o.customer_id = c.customer_id
            and o.campaign = c.campaign
            and o.entry_no = c.entry_no
            and o.offer = c.offer
            and o.state <> 'skipped'
    )
returning c.customer_id;
