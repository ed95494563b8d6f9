-- One row per rule, in the order of rules.csv as it is read.
select country, channel, basis, earliest, latest, valid_from, source
from shop.rules
order by country collate "C", channel collate "C", valid_from
