-- Skips the planned messages of enrolments that ended on day, with the reason they ended for; of those that just came
-- to their end, what is still planned has expired. One row per reason: how many.
with written as (
    update delivery.messages as m
    set
        state = 'skipped',
        reason = case
            when e.exit_reason = 'finished' and m.reason = 'capped' then 'capped'
            when e.exit_reason = 'finished' then 'too_late'
            else e.exit_reason
        end,
        settled_at = :known_by
    from campaigns.enrolments as e
    where e.customer_id = m.customer_id
        and e.campaign = m.campaign
        and e.entry_no = m.entry_no
        and e.campaign = :campaign
        and e.exited_on = :day
        and m.state = 'planned'
    returning m.reason
)

select reason, count(*) as messages
from written
group by reason
order by reason
