-- Everybody who ever bought: at least 1 and at most 99999 complete orders, where 99999 means without limit (A6).
-- The statistics count the same orders as the order selection all_orders, and reading them costs as much as there are
-- customers, not orders.
select s.customer_id
from customer_stats as s
where s.complete_orders >= 1
