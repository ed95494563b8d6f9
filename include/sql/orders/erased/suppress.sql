-- One row per customer with an address or a number of somebody who was erased, under a reference of their own: nobody is
-- to be written to there. Of those in this load, or of all.
insert into shop.suppressions (customer_id, channel, reason, known_at)
select
    c.customer_id,
    'all',
    'erased',
    coalesce(cast(:known_at as timestamptz), c.known_at)
from shop.customers as c
where {{ which }}
    and exists (
        select from shop.erased as e
        where e.digest in (
            {% with kind = "email" %}{% set value %}{% include "orders/erased/_email.sql" %}{% endset %}{% include "orders/erased/_digest.sql" %}{% endwith %},
            {% with kind = "phone" %}{% set value %}{% include "orders/erased/_phone.sql" %}{% endset %}{% include "orders/erased/_digest.sql" %}{% endwith %}
        )
    )
    and not exists (
        select from shop.suppressions as s
        where s.customer_id = c.customer_id and s.channel = 'all' and s.reason = 'erased' and s.lifted_at is null
    )
on conflict do nothing
returning customer_id
