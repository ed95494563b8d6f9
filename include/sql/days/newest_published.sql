-- The newest day whose orders are published; null in an empty shop.
select max(day) as day
from shop.days
where stage = 'orders' and state = 'done'
