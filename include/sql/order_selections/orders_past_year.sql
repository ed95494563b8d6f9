-- The complete orders after 365 days ago and before 1 day ahead (A4): on day D, ordered on D-365 up to and with D+1 in
-- the shop's zone. The day ahead keeps orders whose clock runs a little fast.
select o.*
from {{ orders('all_orders') }} as o
where {{ between_days('o.ordered_on', after=365, before_ahead=1) }}
