-- Closes the open enrolments of one version that are over: treated when the last step's message is planned and all their
-- messages are final; control when the treated ones' last chance has passed. Final is what was handed over or skipped
-- by known_by, or can no longer be sent then: instants that a later run of the same day finds unchanged. Returns how many.
with written as (
    update campaigns.enrolments as e
    set exited_on = :day, exit_reason = 'finished'
    where e.campaign = :campaign
        and e.version = :version
        and e.exited_on is null
        and e.entered_on <= :day
        and (
            (e.arm = 'control' and e.entered_on + cast(:last_day as integer) + 1 + cast(:grace_days as integer) <= :day)
            or (
                e.arm = 'treated'
                and exists (
                    select from delivery.messages as m
                    where m.customer_id = e.customer_id
                        and m.campaign = e.campaign
                        and m.entry_no = e.entry_no
                        and m.step = :last_step
                )
                and not exists (
                    select from delivery.messages as m
                    where m.customer_id = e.customer_id
                        and m.campaign = e.campaign
                        and m.entry_no = e.entry_no
                        and m.expires_at > :known_by
                        and not (m.state = 'skipped' and m.settled_at <= :known_by)
                        and not (
                            m.state in ('accepted', 'delivered', 'bounced', 'refused') and m.attempted_at <= :known_by
                        )
                )
            )
        )
    returning e.customer_id
)

select count(*) from written
