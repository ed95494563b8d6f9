-- One row per country and zone in it.
select country, zone
from shop.country_zones
