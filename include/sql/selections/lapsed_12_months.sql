-- Customers whose last complete order became twelve months old on one of the last seven days (B3).
-- Open on one side only, it would hold everybody who left years ago; a single day would lose whoever's day was missed.
-- parent: customers
select s.customer_id
from customer_stats as s
where {{ since('s.last_order_on', months=12, within=7) }}
