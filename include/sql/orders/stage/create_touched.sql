-- Customers with a changed fact in this run, and which; where it is orders, their statistics have to be computed anew.
create temporary table stage_touched (
    customer_id bigint not null,
    what text not null
)
