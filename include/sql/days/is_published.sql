-- One row: whether the orders of :day are published.
select exists (select from shop.days where stage = 'orders' and state = 'done' and day = :day) as is_published
