-- The zones in which customer c may be: their own, else all of their country z, else the shop's.
case
    when c.time_zone = any(cast(:zones as text[])) then array[c.time_zone]
    else coalesce(z.zones, array[cast(:shop_zone as text)])
end
