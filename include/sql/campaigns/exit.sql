-- Ends the open enrolments of one version whose customer ordered, unsubscribed or left the selection, as far as the
-- campaign exits on it; what was known when day ended decides. Returns how many ended.
-- Who left is said twice, as condition and as reason: a join of enrolments with themselves is slow until their
-- statistics are there.
with written as (
    update campaigns.enrolments as e
    set
        exited_on = :day,
        exit_reason = case
            when cast(:on_order as boolean) and {% include "campaigns/_ordered_since_entry.sql" %} then 'order'
            when cast(:on_unsubscribe as boolean) and {% include "campaigns/_unsubscribed.sql" %} then 'unsubscribe'
            else 'left_selection'
        end
    where e.campaign = :campaign
        and e.version = :version
        and e.exited_on is null
        and e.entered_on <= :day
        and (
            (cast(:on_order as boolean) and {% include "campaigns/_ordered_since_entry.sql" %})
            or (cast(:on_unsubscribe as boolean) and {% include "campaigns/_unsubscribed.sql" %})
            or (cast(:on_left_selection as boolean) and not exists (
                select from selections.membership as member
                where member.customer_id = e.customer_id
                    and member.selection = :selection
                    and member.entered_on <= :day
                    and (member.left_on is null or member.left_on > :day)
            ))
        )
    returning e.customer_id
)

select count(*) from written
