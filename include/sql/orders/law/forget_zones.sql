-- All go, in the transaction that writes those of the time zone database.
delete from shop.country_zones
