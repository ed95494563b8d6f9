-- Everybody who may be sent e-mail at all; every campaign that begins with one filters by it (A12, B2). Those are the
-- customers who may be contacted by e-mail, are the oldest profile with their address, and are not inactive: for
-- {{ inactive_days }} days we looked and saw no open, click or visit.
-- refresh: full
{% from "contact/macros.sql" import contactable %}
with mailboxes as (
    select
        p.customer_id,
        row_number() over (partition by lower(p.email) order by p.registered_at nulls last, p.customer_id) as profile_no
    from customers as p
    where p.email is not null
)

select c.customer_id
from mailboxes as m
inner join customers as c on c.customer_id = m.customer_id
where m.profile_no = 1
    and {{ contactable("c", "'email'", known_by, shop_zone, facts="") }}
    and not exists (
        select from engagement as e
        where e.customer_id = c.customer_id
            and e.known_at <= {{ known_by }}
            and {{ between_days('e.tracked_since', before=inactive_days) }}
            and (e.last_engaged_on is null or {{ between_days('e.last_engaged_on', before=inactive_days) }})
    )
