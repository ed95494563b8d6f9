-- The revenue of the candidate's complete orders, as known at known_by: for a day in the past, when shop.customer_stats
-- already knows more.
select sum(o.total_reporting - coalesce(o.refunded_reporting, 0)) as revenue
from shop.order_versions as o
where o.customer_id = candidates.customer_id
    and o.status = 'complete'
    and o.known_at <= :known_by
    and o.superseded_at > :known_by
