-- How many days ago the last complete order of the candidate was, as known at known_by: for a day in the past, when
-- shop.customer_stats already knows more.
select cast(:day as date) - max(o.ordered_on) as days_lapsed
from shop.order_versions as o
where o.customer_id = candidates.customer_id
    and o.status = 'complete'
    and o.known_at <= :known_by
    and o.superseded_at > :known_by
