-- One row per member of the selection with an order: the day of the last complete one, as known at known_by. For a day in
-- the past, when shop.customer_stats already knows more.
select o.customer_id, max(o.ordered_on) as last_order_on
from shop.order_versions as o
where o.status = 'complete'
    and o.known_at <= :known_by
    and o.superseded_at > :known_by
    and exists (
        select from selections.membership as member
        where member.customer_id = o.customer_id
            and member.selection = :selection
            and member.entered_on <= :day
            and (member.left_on is null or member.left_on > :day)
    )
group by o.customer_id
