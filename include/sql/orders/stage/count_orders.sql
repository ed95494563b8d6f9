-- How many different orders are in the stage.
select (select count(*) from stage_orders) - coalesce((
    select sum(r.times - 1)
    from (
        select count(*) as times
        from stage_orders
        inner join stage_repeated using (order_ref)
        group by order_ref
    ) as r
), 0)
