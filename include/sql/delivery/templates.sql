-- name: templates
-- The templates somebody was enrolled with, file name -> text; with the steps of the campaign and its offers.
select templates, definition -> 'steps' as steps, definition -> 'offers' as offers
from campaigns.versions
where campaign = :campaign and version = :version;

-- name: newest_published_by
-- The newest day published of those that had ended by :day's end; null if there is none.
select max(day) as day
from shop.days
where stage = 'orders' and state = 'done' and day <= :day;
