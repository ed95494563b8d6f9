-- The control group hears nothing. One row per message of an enrolment in the control arm, whatever its state: planning
-- should not have written it.
select
    m.customer_id,
    m.message_key
from delivery.messages as m
inner join campaigns.enrolments as e
    on e.customer_id = m.customer_id and e.campaign = m.campaign and e.entry_no = m.entry_no
where e.arm = 'control'
