-- Ends the open enrolments of one version whose customer ordered, unsubscribed or left the selection, as far as the
-- campaign exits on it; what was known when day ended decides. Returns how many ended.
with written as (
    update campaigns.enrolments as ended
    set exited_on = :day, exit_reason = found.reason
    from (
        select
            e.customer_id,
            e.entry_no,
            case
                when cast(:on_order as boolean) and {% include "campaigns/_ordered_since_entry.sql" %} then 'order'
                when cast(:on_unsubscribe as boolean) and {% include "campaigns/_unsubscribed.sql" %} then 'unsubscribe'
                when cast(:on_left_selection as boolean) and not exists (
                    select from selections.membership as member
                    where member.customer_id = e.customer_id
                        and member.selection = :selection
                        and member.entered_on <= :day
                        and (member.left_on is null or member.left_on > :day)
                ) then 'left_selection'
            end as reason
        from campaigns.enrolments as e
        where e.campaign = :campaign and e.version = :version and e.exited_on is null
    ) as found
    where ended.customer_id = found.customer_id
        and ended.campaign = :campaign
        and ended.entry_no = found.entry_no
        and ended.exited_on is null
        and found.reason is not null
    returning ended.customer_id
)

select count(*) from written
