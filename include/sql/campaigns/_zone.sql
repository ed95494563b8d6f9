-- The zone of customer c: their own where PostgreSQL knows it, else the shop's.
case when c.time_zone = any(cast(:zones as text[])) then c.time_zone else cast(:shop_zone as text) end
