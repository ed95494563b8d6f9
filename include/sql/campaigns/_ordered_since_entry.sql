-- A predicate over the enrolment e: as known at known_by, an order ends it. That is an order not cancelled, placed on
-- a day after the entry, or one that became known only after the entry: under a later number than the entry has, or, for
-- a day that was done late, after the midnight (in shop_zone) that ended the day of entry.
-- The exit of a day and the claim of a message both ask it, so that no message follows an order we know of.
exists (
    select from shop.order_versions as o
    where o.customer_id = e.customer_id
        and o.status <> 'cancelled'
        and o.known_at <= :known_by
        and o.superseded_at > :known_by
        and (
            o.ordered_on > e.entered_on
            or exists (
                select from shop.orders as present
                where present.customer_id = o.customer_id
                    and present.source = o.source
                    and present.order_ref = o.order_ref
                    and present.change_no > e.entered_change
            )
            or not exists (
                select from shop.order_versions as earlier
                where earlier.customer_id = o.customer_id
                    and earlier.source = o.source
                    and earlier.order_ref = o.order_ref
                    and earlier.known_at <= cast(e.entered_on + 1 as timestamp) at time zone :shop_zone
            )
        )
)
