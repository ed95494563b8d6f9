-- True of a due message m with a value that cannot be turned into a message: an instant that no program reads, no version
-- v, an offer without an end, a coupon p of no percentage. latest: the customer's last order.
not ({% with value = "latest.last_order_on" %}{% include "delivery/_is_readable.sql" %}{% endwith %})
or not ({% with value = "p.expires_at" %}{% include "delivery/_is_readable.sql" %}{% endwith %})
or not ({% with value = "m.due_at" %}{% include "delivery/_is_readable.sql" %}{% endwith %})
or not ({% with value = "m.expires_at" %}{% include "delivery/_is_readable.sql" %}{% endwith %})
or v.version is null
or (m.offer is not null and v.definition #>> array['offers', m.offer, 'valid_for'] is null)
or coalesce(p.percent = 'NaN', false)
