-- Reserves one code per customer, entry and offer for the messages of a step planned on day. Returns how many.
-- The code is ten of 32 signs that nobody mistakes for another, from HMAC-SHA256 over customer, campaign, entry and offer;
-- inner_pad and outer_pad are the secret's two pads, so the secret itself never reaches the database. A reminder of the
-- same offer finds its code; one that was void for not being sent is reserved again.
with written as (
    insert into campaigns.coupons as c (customer_id, campaign, entry_no, offer, code, percent, state, reserved_on)
    select
        m.customer_id,
        m.campaign,
        m.entry_no,
        m.offer,
        (
            select string_agg(
                substring('23456789ABCDEFGHJKLMNPQRSTUVWXYZ' from (get_byte(m.digest, place) & 31) + 1 for 1), ''
                order by place
            )
            from generate_series(0, 9) as place
        ),
        :percent,
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
        set state = 'reserved', reserved_on = excluded.reserved_on
        where c.state = 'void'
    returning c.customer_id
)

select count(*) from written
