-- One row per country: its zones, those that PostgreSQL knows.
select p.country, array_agg(p.zone order by p.zone) as zones
from shop.country_zones as p
where p.zone = any(cast(:zones as text[]))
group by p.country
