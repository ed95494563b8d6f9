-- Begins an interval for everybody who entered; how many they are.
with opened as (
    insert into selections.membership (selection, customer_id, entered_on)
    select :selection, w.customer_id, :day
    from {{ work }} as w
    on conflict (selection, customer_id) where left_on is null do nothing
    returning customer_id
)
select count(*) from opened
